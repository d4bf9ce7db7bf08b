import QtQuick
import QtQuick.Layouts
import Firstshift
import Firstshift.Pictures
import "../../kit"

// Two pictures take turns, so that nothing blinks; what was found is drawn over the one it was found in.
Item {
    id: stage

    required property var view
    property bool zoomed: false
    readonly property var shown: view.picture.front === 0 ? first : second

    Tabs {
        id: cameras
        visible: stage.view.picture.cameras.length > 0
        height: visible ? Theme.target : 0
        anchors { left: parent.left; right: parent.right; top: parent.top }
        items: stage.view.picture.cameras
        current: stage.view.picture.camera
        onChosen: name => stage.view.look(name)
    }
    Rectangle {
        id: pane
        anchors { left: parent.left; right: parent.right; top: cameras.bottom; topMargin: cameras.visible ? Theme.gap : 0; bottom: parent.bottom }
        color: Theme.pictureGround
        clip: true
        Accessible.role: Accessible.Graphic
        Accessible.name: qsTr("Picture of the part")

        Picture {
            id: first
            anchors.fill: parent
            z: stage.view.picture.front === 0 ? 1 : 0
            source: stage.view.picture.sources[0]
            zoom: stage.zoomed ? 1 : 0
            onAppeared: source => stage.view.stands(0, source)
            onStatusChanged: if (status === "gone") stage.view.lacks(0, source)
        }
        Picture {
            id: second
            anchors.fill: parent
            z: stage.view.picture.front === 1 ? 1 : 0
            source: stage.view.picture.sources[1]
            zoom: stage.zoomed ? 1 : 0
            onAppeared: source => stage.view.stands(1, source)
            onStatusChanged: if (status === "gone") stage.view.lacks(1, source)
        }
        Overlay {
            anchors.fill: parent
            z: 2
            visible: stage.view.picture.own && stage.shown.status === "shown"
            view: stage.view
            factor: stage.shown.mapScale
            shiftX: stage.shown.offsetX
            shiftY: stage.shown.offsetY
        }
        Rectangle {
            id: dim
            anchors.fill: parent
            z: 3
            visible: stage.view.picture.stale
            color: Theme.pictureGround
            opacity: 0.45
        }
        DragHandler {
            target: null
            enabled: stage.zoomed
            property real fromX
            property real fromY
            onActiveChanged: {
                fromX = stage.shown.panX;
                fromY = stage.shown.panY;
            }
            onTranslationChanged: if (active) {
                stage.shown.panX = fromX - translation.x / stage.shown.mapScale;
                stage.shown.panY = fromY - translation.y / stage.shown.mapScale;
            }
        }
        Label {
            anchors.centerIn: parent
            z: 4
            visible: stage.shown.status === "gone" || stage.shown.status === ""
            width: Math.min(implicitWidth, parent.width - 2 * Theme.gap)
            text: stage.view.picture.sources[stage.view.picture.front].startsWith("live:") ? qsTr("No picture from this camera") : qsTr("No picture of this part is kept")
            color: Theme.onPicture
            size: Theme.strong
            horizontalAlignment: Text.AlignHCenter
        }
        Banner {
            z: 5
            anchors { left: parent.left; right: parent.right; top: parent.top }
            visible: stage.view.picture.held !== "" || stage.view.picture.stale
            kind: "warning"
            icon: stage.view.picture.held !== "" ? "eye" : "clock"
            text: stage.view.picture.held !== "" ? stage.view.picture.held : stage.view.picture.age
        }
    }
}
