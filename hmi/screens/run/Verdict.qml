import QtQuick
import Firstshift
import "../../kit"

// What the model decided and why, in primary mode.
Item {
    id: panel

    required property var view

    StateMark {
        id: plate
        anchors { left: parent.left; right: parent.right; top: parent.top }
        height: Math.max(26 * Theme.mm, implicitHeight)
        disposition: panel.view.verdict.state
        detail: panel.view.verdict.detail
    }
    Lines {
        id: lines
        anchors { left: parent.left; right: parent.right; top: plate.bottom; topMargin: 2 * Theme.mm }
        lines: panel.view.verdict.lines
        most: 4
    }
    Gauge {
        id: gauge
        anchors { left: parent.left; right: parent.right; top: lines.bottom; topMargin: 2 * Theme.mm }
        gauge: panel.view.verdict.gauge
    }
    PushButton {
        id: review
        anchors { left: parent.left; right: parent.right; top: gauge.visible ? gauge.bottom : lines.bottom; topMargin: 2 * Theme.mm }
        visible: panel.view.verdict.state === "review" || panel.view.verdict.state === "unknown"
        text: qsTr("Go to review")
        icon: "review"
        onActed: panel.view.wanted("review")
    }
    Shift {
        readonly property real above: review.visible ? review.y + review.height : gauge.visible ? gauge.y + gauge.height : lines.y + lines.height
        opacity: y >= above + 2 * Theme.mm ? 1 : 0
        anchors { left: parent.left; right: parent.right; bottom: parent.bottom }
        view: panel.view
    }
}
