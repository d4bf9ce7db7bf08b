import QtQuick
import QtQuick.Layouts
import Firstshift
import "../../kit"

Item {
    id: screen

    required property var view
    readonly property var shown: view.shown

    Connections {
        target: screen.view
        function onCleared() {
            pad.text = "";
        }
    }
    RowLayout {
        anchors.fill: parent
        anchors.margins: Theme.gap
        spacing: Theme.gap

        ColumnLayout {
            Layout.fillWidth: true
            Layout.fillHeight: true
            spacing: Theme.gap

            RowLayout {
                Layout.fillWidth: true
                visible: screen.shown.name !== ""
                spacing: Theme.gap

                Field {
                    Layout.fillWidth: true
                    caption: screen.shown.role
                    value: screen.shown.name
                }
                PushButton {
                    icon: screen.shown.step === "" ? "key" : "cross"
                    text: screen.shown.step === "" ? qsTr("New PIN") : qsTr("Keep my PIN")
                    onActed: screen.shown.step === "" ? screen.view.startPin() : screen.view.cancel()
                }
                PushButton {
                    icon: "lock"
                    text: qsTr("Lock")
                    onActed: screen.view.lock()
                }
                PushButton {
                    icon: "exit"
                    text: qsTr("Sign out")
                    onActed: screen.view.signOut()
                }
            }
            Label {
                Layout.fillWidth: true
                text: screen.shown.resting !== "" ? qsTr("Locked by %1: type your PIN, or change the person").arg(screen.shown.resting) : qsTr("Tap your name, or hold your badge to the reader")
                strong: true
            }
            ListRows {
                objectName: "tiles"
                Layout.fillWidth: true
                Layout.fillHeight: true
                rows: screen.view.tiles
                empty: qsTr("Nobody is enrolled: an admin enrols people with `firstshift people enrol`")
                delegate: RowLayout {
                    id: pair
                    required property var modelData
                    width: ListView.view.width
                    spacing: Theme.gap
                    uniformCellSizes: true

                    Repeater {
                        model: pair.modelData

                        PushButton {
                            required property var modelData
                            Layout.fillWidth: true
                            Layout.preferredWidth: 1
                            text: modelData.name
                            caption: modelData.role
                            icon: modelData.here ? "tick" : "person"
                            chosen: modelData.chosen
                            enabled: modelData.able
                            reason: qsTr("no PIN yet")
                            bound: modelData.person
                            onActed: person => screen.view.choose(person)
                        }
                    }
                    Item {
                        visible: pair.modelData.length === 1
                        Layout.fillWidth: true
                        Layout.preferredWidth: 1
                    }
                }
            }
            Banner {
                Layout.fillWidth: true
                visible: screen.shown.fault !== ""
                kind: "warning"
                text: screen.shown.fault
            }
        }
        ColumnLayout {
            Layout.preferredWidth: pad.width
            Layout.maximumWidth: pad.width
            Layout.fillHeight: true
            spacing: Theme.gap

            NumberPad {
                id: pad
                objectName: "pad"
                hidden: true
                cancel: false
                busy: !screen.shown.open || !screen.shown.ready
                placeholder: screen.shown.step !== "" ? screen.shown.step : screen.shown.chosen === "" ? qsTr("PIN") : qsTr("PIN of %1").arg(screen.shown.chosen)
                onAccepted: text => screen.view.pin(text)
            }
            Banner {
                Layout.fillWidth: true
                visible: screen.shown.wait !== ""
                kind: "warning"
                icon: "lock"
                text: qsTr("No PIN is taken for %1").arg(screen.shown.wait)
            }
            Banner {
                Layout.fillWidth: true
                visible: screen.shown.said !== "" && screen.shown.wait === ""
                kind: "warning"
                text: screen.shown.said
            }
            Label {
                Layout.fillWidth: true
                visible: screen.shown.left !== ""
                text: screen.shown.left
                size: Theme.small
            }
            Item {
                Layout.fillHeight: true
            }
        }
    }
}
