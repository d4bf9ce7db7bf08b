import QtQuick
import Firstshift

Rectangle {
    id: card

    property string title
    property real pad: 3 * Theme.mm
    default property alias content: body.data

    color: Theme.card
    radius: Theme.radius
    border.width: Math.max(1, Math.round(Theme.edge))
    border.color: Theme.line
    implicitHeight: heading.height + body.childrenRect.height + 2 * pad
    implicitWidth: 60 * Theme.mm

    Label {
        id: heading
        x: card.pad
        y: card.title === "" ? 0 : card.pad
        width: parent.width - 2 * card.pad
        height: card.title === "" ? 0 : implicitHeight + 1.5 * Theme.mm
        visible: card.title !== ""
        text: card.title
        size: Theme.body
        strong: true
        Accessible.role: Accessible.Heading
    }
    Item {
        id: body
        anchors { left: parent.left; right: parent.right; top: heading.bottom; bottom: parent.bottom; margins: card.pad; topMargin: card.title === "" ? card.pad : 0 }
    }
}
