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
        Loader {
            Layout.fillWidth: true
            Layout.fillHeight: true
            sourceComponent: ({
                    "check": checkPage,
                    "camera": cameraPage,
                    "wires": wirePage,
                    "services": servicePage
                })[screen.shown.tab]
        }
    }
    Component {
        id: checkPage
        CheckPage {
            view: screen.view
        }
    }
    Component {
        id: cameraPage
        CameraPage {
            view: screen.view
        }
    }
    Component {
        id: wirePage
        WirePage {
            view: screen.view
        }
    }
    Component {
        id: servicePage
        ServicePage {
            view: screen.view
        }
    }
    ColumnLayout {
        anchors.fill: parent
        anchors.margins: Theme.gap
        visible: screen.shown.panel === "reason" || screen.shown.panel === "words"
        spacing: Theme.gap

        Label {
            Layout.fillWidth: true
            text: qsTr("Try outputs")
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
                    required property var modelData
                    Layout.fillWidth: true
                    text: modelData.text
                    bound: modelData.name
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
        title: qsTr("Try outputs")
        lines: screen.view.lines
        fault: screen.shown.why
        wait: screen.shown.wait
        busy: screen.shown.busy
        onAccepted: text => screen.view.give(text)
        onCancelled: screen.view.back()
    }
}
