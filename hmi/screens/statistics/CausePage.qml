import QtQuick
import Firstshift
import "../../kit"
import "../../kit/charts"

// A Pareto chart under one line that says of what.
Item {
    id: page

    property var slices: []
    property string empty
    property string note

    Label {
        horizontalAlignment: Text.AlignLeft
        id: head
        width: parent.width
        text: page.slices.length > 0 ? page.note : ""
        muted: true
    }
    Label {
        anchors.centerIn: parent
        width: parent.width
        horizontalAlignment: Text.AlignHCenter
        visible: page.slices.length === 0
        text: page.empty
    }
    ParetoChart {
        anchors { left: parent.left; right: parent.right; top: head.bottom; bottom: foot.top; topMargin: 2 * Theme.mm; bottomMargin: 2 * Theme.mm }
        slices: page.slices
        name: page.note
    }
    Label {
        horizontalAlignment: Text.AlignLeft
        id: foot
        anchors.bottom: parent.bottom
        width: parent.width
        visible: page.slices.length > 0
        size: Theme.small
        muted: true
        text: qsTr("Bar: share; thin line: 95 % interval; stroke: sum so far")
    }
}
