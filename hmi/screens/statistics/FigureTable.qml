import QtQuick
import QtQuick.Layouts
import Firstshift
import "../../kit"

// Sentences over a table; table: { lines, head, rows, wide } with the weights of the columns.
Item {
    id: page

    property var table: ({ head: [], rows: [], wide: [] })
    property string empty

    Column {
        id: said
        width: parent.width
        spacing: Theme.mm
        bottomPadding: 2 * Theme.mm

        Repeater {
            model: page.table.lines === undefined ? [] : page.table.lines

            Label {
                horizontalAlignment: Text.AlignLeft
                required property var modelData
                width: said.width
                text: modelData
            }
        }
    }
    FigureRow {
        id: head
        anchors { left: parent.left; top: said.bottom }
        width: list.rowWidth
        visible: page.table.rows.length > 0
        cells: page.table.head
        wide: page.table.wide
        strong: true
    }
    ListRows {
        id: list
        anchors { left: parent.left; right: parent.right; top: head.bottom; bottom: parent.bottom; topMargin: 2 * Theme.mm }
        spacing: Theme.mm
        rows: page.table.rows
        empty: page.empty
        delegate: FigureRow {
            required property var modelData
            width: ListView.view ? ListView.view.width : 0
            cells: modelData
            wide: page.table.wide
        }
    }
}
