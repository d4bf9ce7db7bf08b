import QtQuick
import Firstshift
import "../../kit"

// One alarm: shape and word of its priority, title, how it stands.
PushButton {
    id: row

    required property var entry
    signal chosen(string key)

    width: ListView.view ? ListView.view.width : 0
    height: Math.max(Theme.target, said.height + 3 * Theme.mm)
    implicitHeight: height
    name: entry.title + ", " + entry.priority + ", " + entry.said
    chosen: false
    bound: entry.key
    border.width: entry.chosen ? Math.max(3, Math.round(0.8 * Theme.mm)) : Math.max(1, Theme.edge)
    border.color: entry.chosen ? Theme.chosen : Theme.line
    onActed: key => row.chosen(key)

    Rectangle {
        id: sign
        anchors { left: parent.left; top: parent.top; bottom: parent.bottom; margins: row.border.width }
        width: 15 * Theme.mm
        radius: Theme.radius
        color: row.entry.tone === "alarm" ? Theme.alarm : row.entry.tone === "warning" ? Theme.warning : Theme.card

        Column {
            anchors.centerIn: parent
            width: parent.width

            Icon {
                anchors.horizontalCenter: parent.horizontalCenter
                name: row.entry.icon
                colour: word.color
                size: 7 * Theme.mm
            }
            Label {
                id: word
                width: parent.width
                horizontalAlignment: Text.AlignHCenter
                text: row.entry.priority
                size: Theme.small
                color: row.entry.tone === "alarm" ? Theme.onAlarm : row.entry.tone === "warning" ? Theme.onWarning : Theme.text
            }
        }
    }
    Column {
        id: said
        anchors { left: sign.right; right: parent.right; verticalCenter: parent.verticalCenter; leftMargin: 3 * Theme.mm; rightMargin: 3 * Theme.mm }

        Label {
            horizontalAlignment: Text.AlignLeft
            width: parent.width
            text: row.entry.title
            strong: !row.entry.seen
        }
        Label {
            horizontalAlignment: Text.AlignLeft
            width: parent.width
            text: (row.entry.first !== "" ? row.entry.first + " · " : "") + row.entry.said
            size: Theme.small
            strong: row.entry.first !== ""
        }
    }
}
