import QtQuick
import Firstshift
import "../../kit"

// One figure with what it stands on.
Rectangle {
    id: card

    required property var modelData

    color: Theme.card
    radius: Theme.radius
    border.width: Math.max(1, Theme.edge)
    border.color: Theme.line

    Column {
        anchors { left: parent.left; right: parent.right; verticalCenter: parent.verticalCenter; margins: 3 * Theme.mm }

        Label { width: parent.width; horizontalAlignment: Text.AlignLeft; text: card.modelData.caption; muted: true }
        Label { width: parent.width; horizontalAlignment: Text.AlignLeft; text: card.modelData.value; size: Theme.title; strong: true }
        Label { width: parent.width; horizontalAlignment: Text.AlignLeft; text: card.modelData.said; size: Theme.small; visible: text !== "" }
        Label { width: parent.width; horizontalAlignment: Text.AlignLeft; text: card.modelData.range; size: Theme.small; visible: text !== "" }
    }
}
