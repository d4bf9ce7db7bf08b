import QtQuick
import Firstshift
import "../../kit"

// How close it was: the value between the limits that decided it. Captions stand at the limits they name.
Item {
    id: gauge

    required property var gauge
    readonly property real thick: 6 * Theme.mm
    readonly property real thin: Math.max(1, Math.round(Theme.edge))

    implicitHeight: caption.implicitHeight + thick + captions.height + 4.4 * Theme.mm
    visible: gauge.gauge.shown
    LayoutMirroring.enabled: false
    LayoutMirroring.childrenInherit: true
    Accessible.role: Accessible.Indicator
    Accessible.name: caption.text + " " + (gauge.gauge.shown ? gauge.gauge.value : "")

    Label {
        id: caption
        width: parent.width
        text: gauge.gauge.shown ? gauge.gauge.caption + ": " + gauge.gauge.value : ""
        size: Theme.small
        horizontalAlignment: Words.rtl ? Text.AlignRight : Text.AlignLeft
        Accessible.ignored: true
    }
    Item {
        id: bar
        y: caption.implicitHeight + 1.6 * Theme.mm
        width: parent.width
        height: gauge.thick

        Repeater {
            model: [
                { from: 0, to: gauge.gauge.reject, icon: "cross", ground: Theme.panel },
                { from: gauge.gauge.reject, to: gauge.gauge.accept, icon: "diamond", ground: Theme.card },
                { from: gauge.gauge.accept, to: 1, icon: "tick", ground: Theme.key }
            ]

            Rectangle {
                required property var modelData
                x: modelData.from * bar.width
                width: Math.max(0, (modelData.to - modelData.from) * bar.width)
                height: bar.height
                color: modelData.ground
                border.width: gauge.thin
                border.color: Theme.line

                Icon {
                    anchors.centerIn: parent
                    visible: parent.width >= 5 * Theme.mm
                    name: parent.modelData.icon
                    size: 4 * Theme.mm
                }
            }
        }
        Rectangle {
            x: Math.max(0, Math.min(gauge.gauge.at * bar.width - width / 2, bar.width - width))
            y: -1.4 * Theme.mm
            width: 1.4 * Theme.mm
            height: bar.height + 2.8 * Theme.mm
            color: Theme.text
            border.width: gauge.thin
            border.color: Theme.key
        }
    }
    Item {
        id: captions
        anchors { left: parent.left; right: parent.right; top: bar.bottom; topMargin: 1.8 * Theme.mm }
        height: Math.max(below.implicitHeight, above.implicitHeight)

        Label {
            id: below
            x: Math.max(0, gauge.gauge.reject * captions.width - implicitWidth)
            text: gauge.gauge.rejectText
            size: Theme.small
            wrapMode: Text.NoWrap
        }
        Label {
            id: above
            x: Math.min(captions.width - implicitWidth, Math.max(gauge.gauge.accept * captions.width, below.x + below.implicitWidth + 2 * Theme.mm))
            text: gauge.gauge.acceptText
            size: Theme.small
            wrapMode: Text.NoWrap
        }
    }
}
