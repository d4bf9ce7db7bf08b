import QtQuick
import Firstshift
import "../../kit"

// Classes of defects, eight at a time; each means the part that was shown when DEFECT was pressed.
Item {
    id: kinds

    property var classes: []
    property var bound: ""
    property int page: 0
    readonly property int most: 8
    readonly property bool paged: classes.length > most
    readonly property real each: (width - Theme.gap) / 2
    signal taken(var bound, string kind)
    signal back()

    implicitHeight: grid.height + Theme.gap + foot.height
    onBoundChanged: page = 0

    Grid {
        id: grid
        columns: 2
        spacing: Theme.gap

        Repeater {
            model: kinds.classes.slice(kinds.page * kinds.most, (kinds.page + 1) * kinds.most)

            PushButton {
                required property var modelData
                width: kinds.each
                height: Theme.target
                inset: 0.6 * Theme.mm
                text: modelData.text
                bound: kinds.bound
                onActed: bound => kinds.taken(bound, modelData.kind)
            }
        }
    }
    Row {
        id: foot
        anchors { left: parent.left; right: parent.right; top: grid.bottom; topMargin: Theme.gap }
        height: Theme.target
        spacing: Theme.gap

        PushButton {
            width: kinds.paged ? kinds.each : kinds.width
            height: Theme.target
            text: qsTr("Back")
            icon: "undo"
            onActed: kinds.back()
        }
        PushButton {
            visible: kinds.paged
            width: kinds.each
            height: Theme.target
            text: qsTr("More classes")
            icon: "plus"
            onActed: kinds.page = (kinds.page + 1) * kinds.most < kinds.classes.length ? kinds.page + 1 : 0
        }
    }
}
