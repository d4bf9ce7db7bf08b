import QtQuick
import Firstshift
import ".."

// Causes by how often they occur: name, bar of its share, line where all so far end, and the figures in words.
// slices: [{ name, share, low, high, cumulative, text }], shares in [0, 1].
Item {
    id: chart

    property var slices: []
    property string name
    readonly property real step: Math.min(13 * Theme.mm, height / Math.max(1, slices.length))
    readonly property real worded: width * 0.27
    readonly property real figured: width * 0.33
    readonly property real barred: width - worded - figured - 4 * Theme.mm

    Accessible.role: Accessible.Chart
    Accessible.name: name

    Column {
        anchors.fill: parent

        Repeater {
            model: chart.slices

            Item {
                id: row
                required property var modelData
                width: chart.width
                height: chart.step

                Label {
                    horizontalAlignment: Text.AlignLeft
                    id: word
                    anchors { left: parent.left; verticalCenter: parent.verticalCenter }
                    width: chart.worded
                    text: row.modelData.name
                    size: chart.step < 9 * Theme.mm ? Theme.small : Theme.body
                }
                Item {
                    id: track
                    anchors { left: word.right; leftMargin: 2 * Theme.mm; verticalCenter: parent.verticalCenter }
                    width: chart.barred
                    height: chart.step * 0.6

                    Rectangle {
                        anchors { left: parent.left; top: parent.top; bottom: parent.bottom }
                        width: Math.max(2, parent.width * row.modelData.share)
                        color: Theme.line
                    }
                    Rectangle {
                        x: LayoutMirroring.enabled ? parent.width * (1 - row.modelData.high) : parent.width * row.modelData.low
                        anchors.verticalCenter: parent.verticalCenter
                        width: Math.max(2, parent.width * (row.modelData.high - row.modelData.low))
                        height: Math.max(2, 0.5 * Theme.mm)
                        color: Theme.text
                    }
                    Rectangle {
                        x: LayoutMirroring.enabled ? parent.width * (1 - row.modelData.cumulative) : parent.width * row.modelData.cumulative - width
                        width: Math.max(2, 0.6 * Theme.mm)
                        height: parent.height
                        color: Theme.text
                    }
                }
                Label {
                    horizontalAlignment: Text.AlignLeft
                    anchors { left: track.right; leftMargin: 2 * Theme.mm; verticalCenter: parent.verticalCenter }
                    width: chart.figured
                    text: row.modelData.text
                    size: Theme.small
                }
            }
        }
    }
}
