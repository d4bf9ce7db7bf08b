import QtQuick
import Firstshift
import Firstshift.Run
import "../../kit"

// What the model found, in the pixels of the picture under it: item = frame x factor + shift, in every language.
Item {
    id: overlay

    required property var view
    property real factor: 1
    property real shiftX: 0
    property real shiftY: 0

    LayoutMirroring.enabled: false
    LayoutMirroring.childrenInherit: true

    HeatLayer {
        visible: overlay.view.picture.heat && overlay.view.heat.shown
        x: visible ? overlay.view.heat.x * overlay.factor + overlay.shiftX : 0
        y: visible ? overlay.view.heat.y * overlay.factor + overlay.shiftY : 0
        width: visible ? overlay.view.heat.width * overlay.factor : 0
        height: visible ? overlay.view.heat.height * overlay.factor : 0
        cells: overlay.view.cells
        colour: Theme.heat
    }
    MarksLayer {
        anchors.fill: parent
        visible: overlay.view.picture.marks
        marks: overlay.view.marks
        factor: overlay.factor
        shiftX: overlay.shiftX
        shiftY: overlay.shiftY
        lineWidth: 0.5 * Theme.mm
        colour: Theme.mark
        halo: Theme.onMark
    }
    Repeater {
        model: overlay.view.picture.text ? overlay.view.marks : []

        Rectangle {
            id: tag
            required property var modelData
            readonly property real across: modelData.x * overlay.factor + overlay.shiftX
            readonly property real above: modelData.y * overlay.factor + overlay.shiftY - height
            x: Math.max(0, Math.min(across, overlay.width - width))
            y: above >= 0 ? above : Math.min(overlay.height - height, above + 2 * height + modelData.height * overlay.factor - height)
            width: words.implicitWidth + 2 * Theme.mm
            height: words.implicitHeight + 0.8 * Theme.mm
            color: Theme.mark

            Label {
                id: words
                anchors.centerIn: parent
                wrapMode: Text.NoWrap
                size: Theme.small
                strong: true
                color: Theme.onMark
                text: tag.modelData.read ? (tag.modelData.text === "" ? qsTr("unreadable") : tag.modelData.text) : tag.modelData.kind + (tag.modelData.confidence === "" ? "" : "  " + tag.modelData.confidence)
            }
        }
    }
}
