import QtQuick
import QtQuick.Layouts
import Firstshift
import "../../kit"
import "../sign_in"

Item {
    id: screen

    required property var view
    readonly property var shown: view.shown

    Connections {
        target: screen.view
        function onCleared() {
            letters.text = "";
            prove.clear();
        }
    }
    ColumnLayout {
        anchors.fill: parent
        anchors.margins: Theme.gap
        visible: screen.shown.panel === ""
        spacing: Theme.gap

        Tabs {
            Layout.fillWidth: true
            items: screen.view.tabs
            current: screen.shown.tab
            onChosen: name => screen.view.openTab(name)
        }
        Banner {
            Layout.fillWidth: true
            visible: screen.shown.fault !== ""
            kind: "warning"
            text: screen.shown.fault
        }
        Banner {
            Layout.fillWidth: true
            visible: screen.shown.said !== ""
            kind: screen.shown.good ? "notice" : "warning"
            text: screen.shown.said
        }
        RowLayout {
            Layout.fillWidth: true
            Layout.fillHeight: true
            spacing: Theme.gap

            ListRows {
                objectName: "rows"
                Layout.preferredWidth: Math.round(75 * Theme.mm)
                Layout.fillHeight: true
                rows: screen.view.rows
                empty: screen.shown.tab === "model" ? qsTr("No bundle is installed") : ""
                delegate: PushButton {
                    required property var modelData
                    width: ListView.view.width
                    text: modelData.text
                    caption: modelData.caption
                    icon: modelData.icon
                    chosen: modelData.chosen
                    bound: modelData.name
                    onActed: name => screen.view.choose(name)
                }
            }
            ColumnLayout {
                Layout.fillWidth: true
                Layout.fillHeight: true
                spacing: Theme.gap

                Card {
                    Layout.fillWidth: true
                    Layout.fillHeight: true

                    ColumnLayout {
                        anchors.fill: parent
                        spacing: Theme.gap / 2

                        Label {
                            Layout.fillWidth: true
                            text: screen.shown.title
                            size: Theme.strong
                            strong: true
                            Accessible.role: Accessible.Heading
                        }
                        ListRows {
                            objectName: "lines"
                            Layout.fillWidth: true
                            Layout.fillHeight: true
                            rows: screen.view.lines
                            spacing: Theme.gap / 2
                            delegate: Row {
                                id: line
                                required property var modelData
                                width: ListView.view.width
                                spacing: 2 * Theme.mm

                                Icon {
                                    visible: line.modelData.icon !== ""
                                    name: line.modelData.icon
                                    size: 5.5 * Theme.mm
                                }
                                Label {
                                    width: line.width - (line.modelData.icon !== "" ? 7.5 * Theme.mm : 0)
                                    text: line.modelData.text
                                    wrapMode: Text.Wrap
                                }
                            }
                        }
                    }
                }
                RowLayout {
                    Layout.fillWidth: true
                    visible: screen.view.deeds.length > 0
                    spacing: Theme.gap
                    uniformCellSizes: true

                    Repeater {
                        model: screen.view.deeds

                        PushButton {
                            required property var modelData
                            Layout.fillWidth: true
                            Layout.preferredWidth: 1
                            Layout.fillHeight: true
                            text: modelData.text
                            icon: modelData.icon
                            upright: true
                            enabled: modelData.able
                            reason: modelData.reason
                            bound: modelData.name
                            onActed: kind => screen.view.begin(kind)
                        }
                    }
                }
            }
        }
    }
    ColumnLayout {
        anchors.fill: parent
        anchors.margins: Theme.gap
        visible: screen.shown.panel === "reason" || screen.shown.panel === "words"
        spacing: Theme.gap

        Label {
            Layout.fillWidth: true
            text: screen.shown.deed
            size: Theme.strong
            strong: true
        }
        GridLayout {
            Layout.fillWidth: true
            visible: screen.shown.panel === "reason"
            columns: 2
            columnSpacing: Theme.gap
            rowSpacing: Theme.gap
            uniformCellWidths: true

            Repeater {
                model: screen.view.reasons

                PushButton {
                    required property string modelData
                    Layout.fillWidth: true
                    text: modelData
                    bound: modelData
                    onActed: why => screen.view.reason(why)
                }
            }
        }
        TextPad {
            id: letters
            objectName: "letters"
            Layout.fillWidth: true
            visible: screen.shown.panel === "words"
            placeholder: qsTr("Why, in a few words")
            onAccepted: text => screen.view.reason(text)
            onCancelled: screen.view.back()
        }
        RowLayout {
            visible: screen.shown.panel === "reason"
            spacing: Theme.gap

            PushButton {
                text: qsTr("Another reason")
                onActed: screen.view.reason("")
            }
            PushButton {
                icon: "undo"
                text: qsTr("Change nothing")
                onActed: screen.view.back()
            }
        }
        Item {
            Layout.fillHeight: true
        }
    }
    Confirm {
        id: prove
        anchors.fill: parent
        anchors.margins: Theme.gap
        visible: screen.shown.panel === "confirm"
        title: screen.shown.deed
        lines: screen.view.means
        fault: screen.shown.why
        wait: screen.shown.wait
        busy: screen.shown.busy
        onAccepted: text => screen.view.give(text)
        onCancelled: screen.view.back()
    }
}
