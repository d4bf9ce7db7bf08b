import QtQuick
import Firstshift
import Firstshift.Pictures
import Firstshift.Run
import Firstshift.Review
import "../../kit"

// The part's picture, what the model saw over it, and what the person draws. Without a tool the finger moves the picture.
Rectangle {
    id: pane

    required property var view
    property bool drawable: false
    readonly property var board: view.drawingBoard
    readonly property bool draws: drawable && board.tools.tool !== ""
    readonly property alias zoom: picture.zoom
    readonly property real shown: picture.mapScale

    function scaleTo(zoom: real) {
        picture.zoom = zoom;
    }

    color: Theme.pictureGround
    clip: true
    LayoutMirroring.enabled: false
    LayoutMirroring.childrenInherit: true

    Picture {
        id: picture
        anchors.fill: parent
        source: pane.view.source
        onAppeared: source => pane.view.appeared(source)
        onStatusChanged: if (status === "gone") pane.view.appeared(source)
    }
    HeatLayer {
        visible: pane.view.overlay && pane.view.heat.shown && picture.status === "shown"
        x: visible ? pane.view.heat.x * picture.mapScale + picture.offsetX : 0
        y: visible ? pane.view.heat.y * picture.mapScale + picture.offsetY : 0
        width: visible ? pane.view.heat.width * picture.mapScale : 0
        height: visible ? pane.view.heat.height * picture.mapScale : 0
        cells: pane.view.cells
        colour: Theme.heat
    }
    MarksLayer {
        id: found
        anchors.fill: parent
        visible: pane.view.overlay && picture.status === "shown"
        marks: pane.view.marks
        factor: picture.mapScale
        shiftX: picture.offsetX
        shiftY: picture.offsetY
        lineWidth: 0.4 * Theme.mm
        colour: Theme.mark
        halo: Theme.onMark
    }
    SketchLayer {
        anchors.fill: parent
        visible: pane.drawable && picture.status === "shown"
        drawing: pane.board.drawing
        factor: picture.mapScale
        shiftX: picture.offsetX
        shiftY: picture.offsetY
        lineWidth: 0.5 * Theme.mm
        handle: pane.draws && pane.board.tools.tool !== "brush" && pane.board.tools.tool !== "eraser" ? Theme.target : 0
        colour: Theme.mark
        halo: Theme.onMark
    }
    MouseArea {
        id: hand

        property real fromX
        property real fromY
        property real panX
        property real panY
        property bool moved: false

        anchors.fill: parent
        enabled: picture.status === "shown"
        preventStealing: true
        onPressed: mouse => {
            fromX = mouse.x;
            fromY = mouse.y;
            panX = picture.panX;
            panY = picture.panY;
            moved = false;
            if (pane.draws) {
                const at = picture.toFrame(mouse.x, mouse.y);
                pane.board.press(at.x, at.y, Theme.target / 2 / picture.mapScale);
            }
        }
        onPositionChanged: mouse => {
            if (pane.draws) {
                const at = picture.toFrame(mouse.x, mouse.y);
                pane.board.move(at.x, at.y);
            } else if (picture.zoom > 0) {
                moved = moved || Math.abs(mouse.x - fromX) + Math.abs(mouse.y - fromY) > 2 * Theme.mm;
                picture.panX = panX - (mouse.x - fromX) / picture.mapScale;
                picture.panY = panY - (mouse.y - fromY) / picture.mapScale;
            }
        }
        onReleased: mouse => {
            if (pane.draws) {
                pane.board.lift(0.4 * Theme.mm / picture.mapScale);
            } else if (picture.zoom > 0 && !moved) {
                const at = picture.toFrame(mouse.x, mouse.y);
                picture.panX = at.x;
                picture.panY = at.y;
            }
        }
        onCanceled: pane.board.cancel()
    }
    Rectangle {
        id: loupe

        readonly property var finger: pane.board.finger
        readonly property bool wanted: pane.draws && finger.length === 2
        readonly property real fingerX: wanted ? finger[0] * picture.mapScale + picture.offsetX : 0
        readonly property real fingerY: wanted ? finger[1] * picture.mapScale + picture.offsetY : 0
        readonly property bool fits: fingerY - height - 12 * Theme.mm > 0

        visible: wanted
        width: 34 * Theme.mm
        height: 26 * Theme.mm
        x: fits ? Math.max(0, Math.min(pane.width - width, fingerX - width / 2)) : fingerX < pane.width / 2 ? Math.min(pane.width - width, fingerX + 16 * Theme.mm) : Math.max(0, fingerX - width - 16 * Theme.mm)
        y: fits ? fingerY - height - 12 * Theme.mm : 0
        color: Theme.pictureGround
        border.width: Math.max(2, Math.round(0.5 * Theme.mm))
        border.color: Theme.chosen

        Item {
            anchors.fill: parent
            anchors.margins: loupe.border.width
            clip: true

            Picture {
                id: near
                anchors.fill: parent
                source: loupe.wanted ? pane.view.source : ""
                zoom: Math.max(2, 3 * picture.mapScale)
                panX: loupe.wanted ? loupe.finger[0] : 0
                panY: loupe.wanted ? loupe.finger[1] : 0
            }
            SketchLayer {
                anchors.fill: parent
                drawing: loupe.wanted ? pane.board.drawing : null
                factor: near.mapScale
                shiftX: near.offsetX
                shiftY: near.offsetY
                lineWidth: 0.4 * Theme.mm
                colour: Theme.mark
                halo: Theme.onMark
            }
            Rectangle {
                width: 7 * Theme.mm
                height: Math.max(2, Math.round(0.3 * Theme.mm))
                color: Theme.mark
                x: (loupe.wanted ? loupe.finger[0] * near.mapScale + near.offsetX : 0) - width / 2
                y: (loupe.wanted ? loupe.finger[1] * near.mapScale + near.offsetY : 0) - height / 2
            }
            Rectangle {
                width: Math.max(2, Math.round(0.3 * Theme.mm))
                height: 7 * Theme.mm
                color: Theme.mark
                x: (loupe.wanted ? loupe.finger[0] * near.mapScale + near.offsetX : 0) - width / 2
                y: (loupe.wanted ? loupe.finger[1] * near.mapScale + near.offsetY : 0) - height / 2
            }
        }
    }
    Rectangle {
        anchors.centerIn: parent
        visible: picture.status === "gone" || (pane.view.part.name !== undefined && !pane.view.part.pictured)
        width: Math.min(parent.width - 2 * Theme.gap, 90 * Theme.mm)
        height: missing.implicitHeight + 2 * Theme.gap
        radius: Theme.radius
        color: Theme.card

        Label {
            id: missing
            anchors { left: parent.left; right: parent.right; verticalCenter: parent.verticalCenter; margins: Theme.gap }
            text: qsTr("No picture of this part is kept: look at the part itself")
            horizontalAlignment: Text.AlignHCenter
        }
    }
}
