import QtQuick
import QtQuick.Layouts
import Firstshift
import "../../kit"

// Inputs as the microcontroller and the PLC tell them, and outputs to be tried by hand.
ColumnLayout {
    id: page

    required property var view
    readonly property var shown: view.shown

    spacing: Theme.gap

    RowLayout {
        Layout.fillWidth: true
        Layout.fillHeight: true
        spacing: Theme.gap

        GridLayout {
            id: inputs
            Layout.fillWidth: true
            Layout.fillHeight: true
            Layout.preferredWidth: 1
            columns: 3
            columnSpacing: 2 * Theme.mm
            rowSpacing: 1.5 * Theme.mm
            uniformCellWidths: true
            uniformCellHeights: true

            Repeater {
                model: page.view.wires

                Rectangle {
                    id: wire
                    required property var modelData
                    Layout.fillWidth: true
                    Layout.fillHeight: true
                    Layout.preferredWidth: 1
                    implicitHeight: both.implicitHeight + 1 * Theme.mm
                    color: modelData.bad ? Theme.warning : Theme.card
                    radius: Theme.radius
                    border.width: modelData.moved ? Math.max(3, Math.round(0.8 * Theme.mm)) : Math.max(1, Math.round(Theme.edge))
                    border.color: modelData.moved ? Theme.chosen : Theme.line

                    Column {
                        id: both
                        anchors { left: parent.left; right: parent.right; margins: 1.5 * Theme.mm; verticalCenter: parent.verticalCenter }

                        Label {
                            width: parent.width
                            text: wire.modelData.caption
                            size: Theme.small
                            muted: !wire.modelData.bad
                            color: wire.modelData.bad ? Theme.onWarning : Theme.muted
                        }
                        Row {
                            width: parent.width
                            spacing: 1 * Theme.mm

                            Icon {
                                visible: wire.modelData.bad || wire.modelData.moved
                                name: wire.modelData.bad ? "triangle" : "send"
                                colour: value.color
                                size: 4.5 * Theme.mm
                            }
                            Label {
                                id: value
                                text: wire.modelData.value
                                strong: true
                                color: wire.modelData.bad ? Theme.onWarning : Theme.text
                                wrapMode: Text.NoWrap
                            }
                        }
                    }
                }
            }
        }
        ColumnLayout {
            Layout.preferredWidth: 74 * Theme.mm
            Layout.maximumWidth: 74 * Theme.mm
            Layout.fillHeight: true
            spacing: 1 * Theme.mm

            Label {
                Layout.fillWidth: true
                text: qsTr("PLC: first what it writes, then what it reads")
                size: Theme.small
                strong: true
            }
            ListRows {
                objectName: "plc"
                Layout.fillWidth: true
                Layout.fillHeight: true
                rows: page.view.plc
                spacing: 0.8 * Theme.mm
                empty: qsTr("No PLC is served, or it has written nothing yet")
                delegate: Item {
                    id: signal
                    required property var modelData
                    width: ListView.view.width
                    height: 6.5 * Theme.mm

                    Row {
                        anchors { left: parent.left; right: parent.right; verticalCenter: parent.verticalCenter }
                        spacing: 1.5 * Theme.mm

                        Icon {
                            anchors.verticalCenter: parent.verticalCenter
                            name: signal.modelData.way
                            colour: Theme.muted
                            size: 4 * Theme.mm
                        }
                        Icon {
                            anchors.verticalCenter: parent.verticalCenter
                            visible: signal.modelData.bit
                            name: signal.modelData.on ? "tick" : "minus"
                            colour: signal.modelData.on ? Theme.text : Theme.muted
                            size: 4.5 * Theme.mm
                        }
                        Label {
                            text: signal.modelData.bit ? signal.modelData.name : signal.modelData.name + "  " + signal.modelData.value
                            strong: signal.modelData.bit && signal.modelData.on
                            wrapMode: Text.NoWrap
                            size: Theme.small
                        }
                    }
                }
            }
        }
    }
    Banner {
        Layout.fillWidth: true
        visible: page.shown.said !== "" || page.shown.held
        kind: "warning"
        text: page.shown.said !== "" ? page.shown.said : page.shown.heldText
    }
    RowLayout {
        Layout.fillWidth: true
        Layout.fillHeight: false
        spacing: Theme.gap

        PushButton {
            visible: !page.shown.held
            Layout.fillWidth: true
            icon: "wrench"
            text: qsTr("Try outputs")
            caption: qsTr("holds the line: reason and PIN")
            enabled: page.shown.may
            reason: qsTr("You may not do this")
            onActed: page.view.holdLine()
        }
        Repeater {
            model: page.shown.held ? page.view.outputs : []

            PushButton {
                required property var modelData
                Layout.fillWidth: true
                Layout.preferredWidth: 1
                Layout.fillHeight: true
                text: modelData.text
                caption: modelData.caption
                enabled: page.shown.mine
                bound: modelData.name
                onActed: name => page.view.tryOutput(name)
            }
        }
        PushButton {
            visible: page.shown.held
            Layout.fillHeight: true
            icon: "play"
            text: qsTr("End the tests")
            onActed: page.view.endTests()
        }
    }
}
