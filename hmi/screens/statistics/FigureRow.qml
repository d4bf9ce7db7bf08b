import QtQuick
import Firstshift
import "../../kit"

// One row of a table; `wide` gives each column its weight.
Rectangle {
    id: row

    property var cells: []
    property var wide: []
    property bool strong: false
    readonly property real all: wide.reduce((sum, one) => sum + one, 0)

    height: line.height + 3 * Theme.mm
    color: strong ? Theme.panel : Theme.card

    Row {
        id: line
        anchors { left: parent.left; right: parent.right; verticalCenter: parent.verticalCenter }

        Repeater {
            model: row.cells

            Label {
                horizontalAlignment: Text.AlignLeft
                required property var modelData
                required property int index
                leftPadding: 2 * Theme.mm
                rightPadding: Theme.mm
                width: row.width * row.wide[index] / Math.max(1, row.all)
                text: modelData
                size: row.strong ? Theme.small : Theme.body
                strong: row.strong
            }
        }
    }
}
