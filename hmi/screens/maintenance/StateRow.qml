import QtQuick
import Firstshift
import "../../kit"

// A component: its state, its name, why, and what to do about it.
Rectangle {
    id: row

    property string name
    property string condition
    property string word
    property string told
    property string cause
    property string remedy

    height: Math.max(mark.implicitHeight, texts.implicitHeight) + 3 * Theme.mm
    color: Theme.card
    radius: Theme.radius
    border.width: Math.max(1, Math.round(Theme.edge))
    border.color: Theme.line

    ConditionMark {
        id: mark
        anchors { left: parent.left; leftMargin: 1.5 * Theme.mm; top: parent.top; topMargin: 1.5 * Theme.mm }
        condition: row.condition
        word: row.word
    }
    Column {
        id: texts
        anchors { left: mark.right; leftMargin: 3 * Theme.mm; right: parent.right; rightMargin: 2 * Theme.mm; verticalCenter: parent.verticalCenter }

        Label {
            width: parent.width
            text: row.name
            strong: true
            wrapMode: Text.Wrap
        }
        Label {
            width: parent.width
            visible: text !== ""
            text: row.told
            size: Theme.small
            muted: true
        }
        Label {
            width: parent.width
            visible: text !== ""
            text: row.cause
            size: Theme.small
            wrapMode: Text.Wrap
        }
        Row {
            width: parent.width
            visible: row.remedy !== ""
            spacing: 1 * Theme.mm

            Icon {
                id: sign
                name: "wrench"
                size: 4.2 * Theme.mm
            }
            Label {
                width: parent.width - sign.width - parent.spacing
                text: row.remedy
                size: Theme.small
                strong: true
                wrapMode: Text.Wrap
            }
        }
    }
}
