import QtQuick
import Firstshift
import Firstshift.Pictures
import "../../kit"

// The last parts, newest first; a tap holds one of them on the screen.
Item {
    id: strip

    required property var view
    readonly property int fitting: Math.max(1, Math.floor((width + Theme.gap) / (32 * Theme.mm + Theme.gap)))
    readonly property real each: (width + Theme.gap) / fitting - Theme.gap

    Row {
        anchors.fill: parent
        spacing: Theme.gap

        Repeater {
            model: 12

            PushButton {
                id: key
                required property int index
                readonly property var entry: index < Math.min(strip.fitting, strip.view.strip.length) ? strip.view.strip[index] : null
                objectName: "strip" + index
                width: strip.each
                height: strip.height
                inset: 0
                visible: entry !== null
                chosen: entry !== null && entry.chosen
                bound: entry === null ? "" : entry.part
                name: entry === null ? "" : entry.number
                onActed: part => strip.view.freeze(part)

                Item {
                    anchors { fill: parent; margins: 1 * Theme.mm }

                    Label {
                        id: number
                        anchors { left: parent.left; verticalCenter: small.verticalCenter }
                        width: 0.48 * parent.width
                        text: key.name
                        size: Theme.small
                        horizontalAlignment: Text.AlignHCenter
                        Accessible.ignored: true
                    }
                    Picture {
                        id: small
                        anchors { left: number.right; right: parent.right; top: parent.top; bottom: mark.top; bottomMargin: 0.6 * Theme.mm }
                        source: key.entry === null ? "" : key.entry.source
                    }
                    StateMark {
                        id: mark
                        compact: true
                        anchors { left: parent.left; right: parent.right; bottom: parent.bottom }
                        height: 7.6 * Theme.mm
                        disposition: key.entry === null ? "" : key.entry.state
                        Accessible.ignored: true
                    }
                }
            }
        }
    }
    Label {
        anchors.centerIn: parent
        visible: strip.view.strip.length === 0
        text: qsTr("The last parts will stand here.")
        muted: true
    }
}
