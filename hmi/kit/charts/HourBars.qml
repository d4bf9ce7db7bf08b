import QtQuick
import Firstshift

// Counts of the last hours, the newest at the end, with the limit as a line; a bar over it has a mark on top.
Item {
    id: bars

    property var counts: []
    property real limit: 0
    property string name
    readonly property real peak: Math.max(limit * 1.3, 1, ...counts)

    LayoutMirroring.enabled: false
    LayoutMirroring.childrenInherit: true
    Accessible.role: Accessible.Chart
    Accessible.name: name

    Row {
        anchors.fill: parent
        spacing: Theme.mm

        Repeater {
            model: bars.counts

            Item {
                required property real modelData
                readonly property bool over: modelData > bars.limit
                width: (bars.width + Theme.mm) / Math.max(1, bars.counts.length) - Theme.mm
                height: bars.height

                Rectangle {
                    anchors.bottom: parent.bottom
                    width: parent.width
                    height: Math.max(1, parent.height * parent.modelData / bars.peak)
                    color: parent.over ? Theme.warning : Theme.line
                    border.width: parent.over ? Math.max(1, Theme.edge) : 0
                    border.color: Theme.onWarning
                }
            }
        }
    }
    Rectangle {
        y: bars.height * (1 - bars.limit / bars.peak)
        width: bars.width
        height: Math.max(2, Theme.edge)
        color: Theme.text
        visible: bars.limit > 0
    }
}
