import QtQuick
import QtQuick.Layouts
import Firstshift
import "../../kit"

// Drawing tools beside the picture; each is a key, so that nothing needs two fingers.
GridLayout {
    id: keys

    required property var board
    readonly property var tools: board.tools
    readonly property bool paints: tools.tool === "brush" || tools.tool === "eraser"

    columns: 2
    columnSpacing: Theme.gap
    rowSpacing: Theme.gap
    uniformCellWidths: true

    Repeater {
        model: [
            { tool: "box", icon: "box", name: qsTr("Box") },
            { tool: "polygon", icon: "polygon", name: qsTr("Corner by corner") },
            { tool: "outline", icon: "circle", name: qsTr("Outline in one go") },
            { tool: "brush", icon: "brush", name: qsTr("Brush") },
            { tool: "eraser", icon: "eraser", name: qsTr("Eraser") }
        ]

        PushButton {
            required property var modelData
            Layout.fillWidth: true
            icon: modelData.icon
            name: modelData.name
            chosen: keys.tools.tool === modelData.tool
            bound: modelData.tool
            onActed: tool => keys.board.choose(tool)
        }
    }
    PushButton {
        Layout.fillWidth: true
        icon: "trash"
        name: qsTr("Remove newest mark")
        enabled: keys.tools.marks > 0
        onActed: keys.board.remove()
    }
    PushButton {
        Layout.fillWidth: true
        icon: "undo"
        name: qsTr("Undo drawing")
        enabled: keys.tools.undo
        onActed: keys.board.undo()
    }
    PushButton {
        Layout.fillWidth: true
        icon: "redo"
        name: qsTr("Draw again")
        enabled: keys.tools.redo
        onActed: keys.board.redo()
    }
    PushButton {
        Layout.fillWidth: true
        visible: !keys.paints
        icon: "tick"
        name: qsTr("Close outline")
        enabled: keys.tools.close
        onActed: keys.board.close()
    }
    PushButton {
        Layout.fillWidth: true
        visible: !keys.paints
        icon: "fit"
        name: qsTr("Whole picture")
        onActed: keys.board.whole()
    }
    PushButton {
        Layout.fillWidth: true
        visible: keys.paints
        icon: "minus"
        name: qsTr("Thinner brush")
        onActed: keys.board.widen(false)
    }
    PushButton {
        Layout.fillWidth: true
        visible: keys.paints
        icon: "plus"
        name: qsTr("Thicker brush")
        onActed: keys.board.widen(true)
    }
}
