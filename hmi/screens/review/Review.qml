import QtQuick
import QtQuick.Layouts
import Firstshift
import "../../kit"

Item {
    id: screen

    required property var view
    readonly property bool works: view.state === "work"
    readonly property bool deep: view.answerKeys.deep === true

    ColumnLayout {
        anchors { fill: parent; margins: Theme.gap }
        spacing: Theme.gap

        RowLayout {
            Layout.fillWidth: true
            spacing: Theme.gap

            Tabs {
                Layout.fillWidth: true
                items: screen.view.tabs
                current: screen.view.tab
                onChosen: name => screen.view.chooseTab(name)
            }
            PushButton {
                objectName: "find"
                icon: "scan"
                name: qsTr("Find a part by its serial")
                onActed: finder.open = true
            }
        }
        Repeater {
            model: screen.view.notices

            RowLayout {
                required property var modelData
                Layout.fillWidth: true
                spacing: Theme.gap

                Banner {
                    Layout.fillWidth: true
                    kind: modelData.kind
                    text: modelData.text
                }
                PushButton {
                    visible: modelData.name !== ""
                    icon: "cross"
                    name: qsTr("Seen")
                    bound: modelData.name
                    onActed: name => screen.view.dismiss(name)
                }
            }
        }
        RowLayout {
            Layout.fillWidth: true
            Layout.fillHeight: true
            visible: screen.works
            spacing: Theme.gap

            ColumnLayout {
                Layout.fillWidth: true
                Layout.fillHeight: true
                Layout.preferredWidth: 1
                spacing: Theme.gap

                RowLayout {
                    Layout.fillWidth: true
                    spacing: Theme.gap

                    Column {
                        Layout.fillWidth: true

                        Label {
                            width: parent.width
                            text: screen.view.part.heading === undefined ? "" : screen.view.part.heading
                            strong: true
                        }
                        Label {
                            width: parent.width
                            text: screen.view.progress + (screen.view.part.name === undefined ? "" : " · " + screen.view.part.name)
                            size: Theme.small
                            muted: true
                        }
                    }
                    Tabs {
                        visible: screen.view.views.length > 1
                        Layout.minimumWidth: screen.view.views.length * 22 * Theme.mm
                        Layout.maximumWidth: screen.view.views.length * 22 * Theme.mm
                        items: screen.view.views
                        current: screen.view.camera
                        onChosen: name => screen.view.chooseView(name)
                    }
                }
                PartPane {
                    id: pane
                    Layout.fillWidth: true
                    Layout.fillHeight: true
                    view: screen.view
                    drawable: screen.deep
                }
                RowLayout {
                    Layout.fillWidth: true
                    spacing: Theme.gap

                    PushButton {
                        objectName: "overlay"
                        icon: screen.view.overlay ? "eye" : "eye-off"
                        name: qsTr("What the model saw")
                        chosen: screen.view.overlay && enabled
                        enabled: screen.view.part.overlaid === true
                        onActed: screen.view.showOverlay(!screen.view.overlay)
                    }
                    PushButton {
                        objectName: "zoom"
                        icon: pane.zoom === 0 ? "zoom" : "fit"
                        text: pane.zoom === 0 ? "1:1" : ""
                        name: pane.zoom === 0 ? qsTr("Pixel for pixel") : qsTr("Whole picture in view")
                        upright: true
                        textSize: Theme.small
                        onActed: pane.scaleTo(pane.zoom === 0 ? 1 : 0)
                    }
                    PushButton {
                        icon: "minus"
                        name: qsTr("Smaller")
                        enabled: pane.zoom > 0
                        onActed: pane.scaleTo(pane.shown / 1.6)
                    }
                    PushButton {
                        icon: "plus"
                        name: qsTr("Larger")
                        onActed: pane.scaleTo(pane.shown * 1.6)
                    }
                    Item {
                        Layout.fillWidth: true
                        visible: !deepen.visible || pane.width > 115 * Theme.mm
                    }
                    PushButton {
                        id: deepen
                        objectName: "deepen"
                        visible: screen.view.answerKeys.deepens !== undefined && screen.view.answerKeys.deepens !== ""
                        icon: "polygon"
                        text: visible ? screen.view.answerKeys.deepens : ""
                        Layout.fillWidth: true
                        Layout.maximumWidth: 30 * Theme.mm
                        upright: true
                        textSize: Theme.small
                        onActed: screen.view.deepen()
                    }
                }
            }
            ColumnLayout {
                Layout.minimumWidth: 36 * Theme.mm
                Layout.maximumWidth: 36 * Theme.mm
                Layout.fillHeight: true
                visible: !screen.deep || screen.width > 290 * Theme.mm
                spacing: Theme.gap

                TwinCard {
                    Layout.fillWidth: true
                    Layout.fillHeight: true
                    title: qsTr("Nearest good part")
                    twin: screen.view.twins.good === undefined ? ({}) : screen.view.twins.good
                    searching: screen.view.twins.searching === true
                    named: false
                }
                TwinCard {
                    Layout.fillWidth: true
                    Layout.fillHeight: true
                    title: qsTr("Nearest known defect")
                    twin: screen.view.twins.defect === undefined ? ({}) : screen.view.twins.defect
                    searching: screen.view.twins.searching === true
                }
            }
            ToolKeys {
                Layout.minimumWidth: 36 * Theme.mm
                Layout.maximumWidth: 36 * Theme.mm
                Layout.alignment: Qt.AlignTop
                visible: screen.deep
                board: screen.view.drawingBoard
            }
            AnswerKeys {
                Layout.minimumWidth: Math.max(74 * Theme.mm, screen.width * 0.28)
                Layout.maximumWidth: Math.max(74 * Theme.mm, screen.width * 0.28)
                Layout.fillHeight: true
                view: screen.view
                onDetailsWanted: details.open = true
                onClassWanted: naming.open = true
            }
        }
        Item {
            Layout.fillWidth: true
            Layout.fillHeight: true
            visible: !screen.works

            Column {
                anchors.centerIn: parent
                width: Math.min(parent.width, 150 * Theme.mm)
                spacing: Theme.gap

                Icon {
                    anchors.horizontalCenter: parent.horizontalCenter
                    name: screen.view.state === "empty" ? "tick" : "clock"
                    size: 20 * Theme.mm
                }
                Label {
                    width: parent.width
                    text: screen.view.state === "empty" ? screen.view.message : qsTr("Reading the part ...")
                    size: Theme.strong
                    horizontalAlignment: Text.AlignHCenter
                }
                Label {
                    width: parent.width
                    text: screen.view.progress
                    muted: true
                    horizontalAlignment: Text.AlignHCenter
                }
                PushButton {
                    anchors.horizontalCenter: parent.horizontalCenter
                    icon: "undo"
                    text: qsTr("Undo")
                    caption: screen.view.undoKey.text
                    visible: screen.view.undoKey.enabled
                    onActed: screen.view.undo()
                }
            }
        }
    }
    DetailSheet {
        id: details
        view: screen.view
    }
    Sheet {
        id: finder
        title: qsTr("Scan the part, or type its serial or id")

        TextPad {
            width: finder.innerWidth
            digits: true
            maximum: 60
            placeholder: qsTr("Serial or id")
            onAccepted: words => {
                finder.open = false;
                text = "";
                screen.view.scanned(words);
            }
            onCancelled: finder.open = false
        }
    }
    Sheet {
        id: naming
        title: qsTr("Name the new class")

        TextPad {
            width: naming.innerWidth
            maximum: 24
            placeholder: qsTr("New class")
            onAccepted: words => {
                naming.open = false;
                text = "";
                screen.view.newClass(words);
            }
            onCancelled: naming.open = false
        }
    }
}
