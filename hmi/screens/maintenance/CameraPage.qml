import QtQuick
import QtQuick.Layouts
import Firstshift
import Firstshift.Pictures
import Firstshift.Maintenance
import "../../kit"

// What a camera sees, and by what it is adjusted. Nothing is changed from here.
RowLayout {
    id: page

    required property var view
    readonly property var shown: view.shown

    spacing: Theme.gap

    ColumnLayout {
        Layout.fillWidth: true
        Layout.fillHeight: true
        Layout.preferredWidth: 1
        spacing: Theme.gap

        Tabs {
            Layout.fillWidth: true
            visible: page.view.cameras.length > 0
            items: page.view.cameras
            current: page.shown.camera
            onChosen: name => page.view.aim(name)
        }
        Rectangle {
            Layout.fillWidth: true
            Layout.fillHeight: true
            color: Theme.pictureGround
            clip: true
            Accessible.role: Accessible.Graphic
            Accessible.name: qsTr("Live picture")

            Picture {
                id: picture
                anchors.fill: parent
                source: page.shown.source
            }
            Item {
                anchors.fill: parent
                LayoutMirroring.enabled: false
                LayoutMirroring.childrenInherit: true

                ZebraLayer {
                    visible: picture.status === "shown" && zebra.on
                    x: picture.offsetX
                    y: picture.offsetY
                    width: picture.frameWidth * picture.mapScale
                    height: picture.frameHeight * picture.mapScale
                    cells: page.view.zebra
                }
            }
            Label {
                anchors.centerIn: parent
                visible: picture.status !== "shown"
                width: Math.min(implicitWidth, parent.width - 2 * Theme.gap)
                text: qsTr("No picture from this camera")
                color: Theme.onPicture
                horizontalAlignment: Text.AlignHCenter
            }
            Banner {
                anchors { left: parent.left; right: parent.right; top: parent.top }
                visible: page.shown.stale !== ""
                kind: "warning"
                icon: "clock"
                text: page.shown.stale
            }
        }
        RowLayout {
            Layout.fillWidth: true
            Layout.fillHeight: false
            spacing: Theme.gap
            uniformCellSizes: true

            Toggle {
                id: zebra
                Layout.fillWidth: true
                Layout.preferredWidth: 1
                Layout.fillHeight: true
                text: qsTr("Stripes where it is white")
                on: true
                onToggled: value => zebra.on = value
            }
            PushButton {
                Layout.fillWidth: true
                Layout.preferredWidth: 1
                Layout.fillHeight: true
                icon: "reset"
                text: qsTr("Begin best anew")
                enabled: page.shown.measured
                onActed: page.view.newPeak()
            }
            PushButton {
                Layout.fillWidth: true
                Layout.preferredWidth: 1
                Layout.fillHeight: true
                icon: "star"
                text: qsTr("Keep as reference")
                enabled: page.shown.may && page.shown.measured
                onActed: page.view.keepReference()
            }
        }
    }
    ColumnLayout {
        Layout.preferredWidth: 88 * Theme.mm
        Layout.maximumWidth: 88 * Theme.mm
        Layout.fillHeight: true
        spacing: 2 * Theme.mm

        Aid {
            title: qsTr("Focus")
            value: page.shown.focusText
            detail: page.shown.focusKept

            Rectangle {
                width: parent.width
                height: 6 * Theme.mm
                color: Theme.key
                border.width: Math.max(1, Math.round(Theme.edge))
                border.color: Theme.line
                Accessible.role: Accessible.ProgressBar
                Accessible.name: qsTr("Focus")
                Accessible.description: page.shown.focusText

                Rectangle {
                    anchors { left: parent.left; top: parent.top; bottom: parent.bottom; margins: parent.border.width }
                    width: (parent.width - 2 * parent.border.width) * page.shown.focus
                    color: Theme.muted
                }
                Rectangle {
                    anchors { right: parent.right; top: parent.top; bottom: parent.bottom }
                    width: Math.max(2, Math.round(0.6 * Theme.mm))
                    color: Theme.text
                }
            }
        }
        Aid {
            title: qsTr("Exposure")
            value: page.shown.exposure
            detail: page.shown.blur
            attention: page.shown.adjust
            icon: page.shown.adjust ? "triangle" : page.shown.measured ? "tick" : ""

            Repeater {
                model: page.view.channels

                Item {
                    id: channel
                    required property var modelData
                    width: parent.width
                    height: heading.implicitHeight + 6 * Theme.mm

                    Row {
                        id: heading
                        width: parent.width
                        spacing: 2 * Theme.mm

                        Icon {
                            visible: channel.modelData.bad
                            name: "triangle"
                            size: 4 * Theme.mm
                        }
                        Label {
                            id: colour
                            text: channel.modelData.name
                            size: Theme.small
                            strong: true
                            wrapMode: Text.NoWrap
                        }
                        Label {
                            width: channel.width - colour.width - parent.spacing - (channel.modelData.bad ? 4 * Theme.mm + parent.spacing : 0)
                            text: channel.modelData.text
                            size: Theme.small
                            strong: channel.modelData.bad
                        }
                    }
                    Row {
                        id: bars
                        LayoutMirroring.enabled: false
                        anchors { left: parent.left; right: parent.right; top: heading.bottom; bottom: parent.bottom }

                        Repeater {
                            model: channel.modelData.bars

                            Item {
                                required property real modelData
                                required property int index
                                width: bars.width / channel.modelData.bars.length
                                height: bars.height

                                Rectangle {
                                    anchors.bottom: parent.bottom
                                    width: parent.width
                                    height: Math.max(1, parent.height * parent.modelData)
                                    color: parent.index === channel.modelData.bars.length - 1 && channel.modelData.bad ? Theme.text : Theme.muted
                                }
                            }
                        }
                    }
                }
            }
        }
        Aid {
            title: qsTr("Lighting")
            value: page.shown.light
            detail: page.shown.lightKept
        }
        Item {
            Layout.fillHeight: true
        }
    }
}
