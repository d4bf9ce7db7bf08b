import QtQuick
import Firstshift
import "../../kit"
import "../../kit/charts"

Item {
    id: screen

    required property var view
    readonly property var shown: view.shown
    readonly property bool drawn: shown.ready && !shown.chart.empty

    Item {
        id: head
        anchors { left: parent.left; right: parent.right; top: parent.top; margins: Theme.gap }
        height: Math.max(figures.implicitHeight, spans.implicitHeight)

        Tabs {
            id: figures
            anchors { left: parent.left; top: parent.top; bottom: parent.bottom }
            width: (parent.width - 2 * Theme.gap) * 0.66
            current: screen.shown.figure
            items: [
                { name: "rejected", text: qsTr("Rejected") },
                { name: "reviewed", text: qsTr("For people") },
                { name: "score", text: qsTr("Score") },
                { name: "latency_ms", text: qsTr("Time") }
            ]
            onChosen: name => screen.view.choose(name)
        }
        Tabs {
            id: spans
            anchors { right: parent.right; top: parent.top; bottom: parent.bottom }
            width: (parent.width - 2 * Theme.gap) * 0.34
            current: screen.shown.span
            items: [
                { name: "hour", text: qsTr("By hour") },
                { name: "shift", text: qsTr("By 8 h") }
            ]
            onChosen: name => screen.view.by(name)
        }
    }
    Item {
        anchors { left: parent.left; right: parent.right; top: head.bottom; bottom: foot.top; margins: Theme.gap }

        Label {
            anchors.centerIn: parent
            width: parent.width
            horizontalAlignment: Text.AlignHCenter
            visible: !screen.drawn
            text: screen.shown.fault !== "" ? screen.shown.fault : !screen.shown.ready ? qsTr("Counting ...") : screen.shown.is_parallel ? qsTr("What the model finds stays sealed in parallel mode") : qsTr("No part has been judged yet")
        }
        ControlChart {
            anchors.fill: parent
            visible: screen.drawn
            points: screen.drawn ? screen.shown.chart.points : []
            floor: screen.drawn ? screen.shown.chart.bottom : 0
            ceiling: screen.drawn ? screen.shown.chart.peak : 1
            centre: screen.drawn ? screen.shown.chart.centre : 0
            basis: screen.drawn ? screen.shown.chart.baseline : 0
            ticks: screen.drawn ? screen.shown.chart.ticks : []
            times: screen.drawn ? screen.shown.chart.times : []
            name: screen.drawn ? screen.shown.chart.name : ""
        }
    }
    Item {
        id: foot
        anchors { left: parent.left; right: parent.right; bottom: parent.bottom; margins: Theme.gap }
        height: Math.max(4 * 1.45 * Theme.small, told.implicitHeight, marks.implicitHeight)
        visible: screen.drawn

        Label {
            id: told
            anchors { left: parent.left; top: parent.top }
            width: parent.width * 0.54
            horizontalAlignment: Text.AlignLeft
            text: screen.drawn ? screen.shown.said : ""
            size: Theme.small
        }
        Flow {
            id: marks
            anchors { right: parent.right; top: parent.top }
            width: parent.width * 0.46 - Theme.gap
            spacing: 1.5 * Theme.mm

            Label {
                width: parent.width
                horizontalAlignment: Text.AlignLeft
                visible: screen.drawn && screen.shown.legend.length === 0
                text: qsTr("No point is marked")
                size: Theme.small
            }
            Repeater {
                model: screen.drawn ? screen.shown.legend : []

                RuleKey {
                    required property var modelData
                    width: (marks.width - marks.spacing) / 2
                    shape: modelData.shape
                    text: modelData.text
                }
            }
        }
    }
}
