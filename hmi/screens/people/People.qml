import QtQuick
import QtQuick.Layouts
import Firstshift
import "../../kit"
import "../sign_in"

Item {
    id: screen

    required property var view
    readonly property var shown: view.shown
    readonly property bool typing: shown.panel === "name" || shown.panel === "person"
    readonly property bool choosing: shown.panel === "role" || shown.panel === "level" || shown.panel === "language"
    readonly property bool proving: shown.panel === "pin" || shown.panel === "confirm"

    Connections {
        target: screen.view
        function onCleared() {
            letters.text = "";
            prove.clear();
        }
    }
    RowLayout {
        anchors.fill: parent
        anchors.margins: Theme.gap
        visible: screen.shown.panel === ""
        spacing: Theme.gap

        ColumnLayout {
            Layout.preferredWidth: 1
            Layout.fillWidth: true
            Layout.fillHeight: true
            spacing: Theme.gap

            ListRows {
                objectName: "people"
                Layout.fillWidth: true
                Layout.fillHeight: true
                rows: screen.view.people
                empty: qsTr("Nobody is enrolled yet")
                delegate: PushButton {
                    required property var modelData
                    width: ListView.view.width
                    text: modelData.name
                    caption: modelData.detail + "\n" + modelData.last
                    icon: modelData.icon
                    chosen: modelData.chosen
                    bound: modelData.person
                    onActed: person => screen.view.choose(person)
                }
            }
            PushButton {
                Layout.fillWidth: true
                icon: "plus"
                text: qsTr("Enrol a person")
                onActed: screen.view.enrol()
            }
        }
        ColumnLayout {
            Layout.preferredWidth: 1
            Layout.fillWidth: true
            Layout.fillHeight: true
            spacing: Theme.gap

            Label {
                Layout.fillWidth: true
                text: screen.shown.open ? screen.shown.title : qsTr("Choose a person, or enrol one")
                size: Theme.strong
                strong: screen.shown.open
                muted: !screen.shown.open
            }
            GridLayout {
                Layout.fillWidth: true
                visible: screen.shown.open
                columns: 2
                columnSpacing: Theme.gap
                rowSpacing: Theme.gap
                uniformCellWidths: true

                Repeater {
                    model: screen.view.fields

                    PushButton {
                        required property var modelData
                        Layout.fillWidth: true
                        text: modelData.value
                        caption: modelData.caption
                        name: modelData.caption
                        enabled: modelData.able
                        bound: modelData.name
                        onActed: field => screen.view.edit(field)
                    }
                }
                PushButton {
                    Layout.fillWidth: true
                    icon: screen.shown.active ? "slash-circle" : "person"
                    text: screen.shown.active ? qsTr("Disable") : qsTr("Let in again")
                    enabled: screen.view.fields.length > 0 && screen.view.fields[1].able
                    onActed: screen.view.stand()
                }
            }
            Banner {
                Layout.fillWidth: true
                visible: screen.shown.said !== ""
                kind: "warning"
                text: screen.shown.said
            }
            Label {
                Layout.fillWidth: true
                visible: screen.shown.standing !== ""
                text: screen.shown.standing
            }
            Item {
                Layout.fillHeight: true
            }
            RowLayout {
                visible: screen.shown.open
                Layout.fillWidth: true
                spacing: Theme.gap
                uniformCellSizes: true

                PushButton {
                    Layout.fillWidth: true
                    Layout.preferredWidth: 1
                    icon: "undo"
                    text: qsTr("Discard")
                    onActed: screen.view.discard()
                }
                PushButton {
                    Layout.fillWidth: true
                    Layout.preferredWidth: 1
                    icon: "tick"
                    text: qsTr("Save")
                    enabled: screen.shown.changed
                    onActed: screen.view.save()
                }
            }
        }
    }
    ColumnLayout {
        anchors.fill: parent
        anchors.margins: Theme.gap
        visible: screen.typing || screen.choosing || screen.shown.panel === "badge"
        spacing: Theme.gap

        Label {
            Layout.fillWidth: true
            text: screen.shown.panelTitle
            size: Theme.strong
            strong: true
        }
        TextPad {
            id: letters
            objectName: "letters"
            Layout.fillWidth: true
            visible: screen.typing
            maximum: 32
            onAccepted: text => screen.view.give(text)
            onCancelled: screen.view.back()
        }
        GridLayout {
            Layout.fillWidth: true
            visible: screen.choosing
            columns: 2
            columnSpacing: Theme.gap
            rowSpacing: Theme.gap
            uniformCellWidths: true

            Repeater {
                model: screen.view.options

                PushButton {
                    required property var modelData
                    Layout.fillWidth: true
                    text: modelData.text
                    icon: modelData.chosen ? "tick" : ""
                    chosen: modelData.chosen
                    bound: modelData.name
                    onActed: option => screen.view.give(option)
                }
            }
        }
        PushButton {
            visible: screen.shown.panel === "badge"
            icon: "trash"
            text: qsTr("No badge")
            onActed: screen.view.give("")
        }
        PushButton {
            visible: !screen.typing
            icon: "undo"
            text: qsTr("Back")
            onActed: screen.view.back()
        }
        Item {
            Layout.fillHeight: true
        }
    }
    Confirm {
        id: prove
        anchors.fill: parent
        anchors.margins: Theme.gap
        visible: screen.proving
        title: screen.shown.panelTitle
        lines: screen.view.lines
        fault: screen.shown.said
        wait: screen.shown.wait
        busy: screen.shown.busy
        placeholder: screen.shown.step
        onAccepted: text => screen.view.give(text)
        onCancelled: screen.view.back()
    }
}
