import QtQuick
import Firstshift
import "../../kit"

// One line of the journal.
Rectangle {
    id: row

    required property var entry

    width: ListView.view ? ListView.view.width : 0
    height: Math.max(said.height, 10 * Theme.mm) + 2 * Theme.mm
    color: Theme.card
    radius: Theme.radius
    border.width: Math.max(1, Theme.edge)
    border.color: Theme.line

    Icon {
        id: sign
        anchors { left: parent.left; leftMargin: 2 * Theme.mm; verticalCenter: parent.verticalCenter }
        name: row.entry.icon
        size: 7 * Theme.mm
    }
    Label {
        horizontalAlignment: Text.AlignLeft
        id: when
        anchors { left: sign.right; leftMargin: 2 * Theme.mm; verticalCenter: parent.verticalCenter }
        width: 34 * Theme.mm
        text: row.entry.when
        size: Theme.small
    }
    Column {
        id: said
        anchors { left: when.right; right: parent.right; leftMargin: 2 * Theme.mm; rightMargin: 2 * Theme.mm; verticalCenter: parent.verticalCenter }

        Label {
            horizontalAlignment: Text.AlignLeft
            width: parent.width
            text: row.entry.title + " · " + row.entry.kind
            strong: true
        }
        Label {
            horizontalAlignment: Text.AlignLeft
            width: parent.width
            text: row.entry.text
            size: Theme.small
            visible: text !== ""
        }
    }
}
