import QtQuick
import Firstshift
import Firstshift.Pictures
import "../../kit"

// A known part that looks most like the one beside it, at the same place or at its defect.
Rectangle {
    id: card

    property string title
    property var twin: ({})
    property bool searching: false
    property bool named: true
    readonly property bool known: twin.source !== undefined

    color: Theme.card
    radius: Theme.radius
    border.width: Math.max(1, Math.round(Theme.edge))
    border.color: Theme.line
    Accessible.role: Accessible.Graphic
    Accessible.name: title + (known ? ": " + twin.text : "")

    Label {
        id: head
        anchors { left: parent.left; right: parent.right; top: parent.top; margins: 1.5 * Theme.mm }
        text: card.title
        size: Theme.small
        muted: true
    }
    Rectangle {
        id: frame
        anchors { left: parent.left; right: parent.right; top: head.bottom; bottom: foot.visible ? foot.top : parent.bottom; margins: 1.5 * Theme.mm }
        color: Theme.pictureGround
        clip: true

        Picture {
            id: picture

            property string placed
            readonly property var box: card.known ? card.twin.box : ({})
            readonly property bool marked: box.width !== undefined

            function place() {
                if (placed === source)
                    return;
                placed = source;
                const at = card.twin.box;
                if (at !== undefined && at.width !== undefined) {
                    panX = at.x + at.width / 2;
                    panY = at.y + at.height / 2;
                }
            }

            anchors.fill: parent
            visible: card.known
            source: card.known ? card.twin.source : ""
            zoom: marked ? Math.min(width, height) / (2.5 * Math.max(box.width, box.height, 16)) : 0
            onSourceChanged: place()
        }
        Label {
            anchors { left: parent.left; right: parent.right; verticalCenter: parent.verticalCenter; margins: 2 * Theme.mm }
            visible: !card.known
            text: card.searching ? qsTr("Looking ...") : qsTr("None is known yet")
            size: Theme.small
            color: Theme.onPicture
            horizontalAlignment: Text.AlignHCenter
        }
    }
    Label {
        id: foot
        anchors { left: parent.left; right: parent.right; bottom: parent.bottom; margins: 1.5 * Theme.mm }
        visible: card.named && card.known
        text: card.known ? card.twin.text : ""
        size: Theme.body
        strong: true
    }
}
