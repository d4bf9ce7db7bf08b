import QtQuick
import Firstshift
import "../../kit"

// The line at work: keys of the picture, the picture with the last parts under it, and what was decided beside it.
Item {
    id: screen

    required property var view
    readonly property real side: Math.min(84 * Theme.mm, 0.32 * width)

    PictureKeys {
        id: keys
        view: screen.view
        anchors { left: parent.left; top: parent.top; bottom: strip.top; bottomMargin: Theme.gap }
        width: 25 * Theme.mm
    }
    Stage {
        id: stage
        view: screen.view
        zoomed: keys.zoomed
        anchors { left: keys.right; leftMargin: Theme.gap; right: column.left; rightMargin: Theme.gap; top: parent.top; bottom: strip.top; bottomMargin: Theme.gap }
    }
    Strip {
        id: strip
        view: screen.view
        anchors { left: parent.left; right: column.left; rightMargin: Theme.gap; bottom: parent.bottom }
        height: 22 * Theme.mm
    }
    Item {
        id: column
        anchors { right: parent.right; top: parent.top; bottom: parent.bottom }
        width: screen.side

        Loader {
            anchors { left: parent.left; right: parent.right; top: parent.top; bottom: foot.top; bottomMargin: Theme.gap }
            sourceComponent: screen.view.manual.on ? byPeople : byModel
        }
        Foot {
            id: foot
            view: screen.view
            anchors { left: parent.left; right: parent.right; bottom: parent.bottom }
            onActed: sheet.open = true
        }
    }
    Component {
        id: byModel

        Verdict {
            view: screen.view
        }
    }
    Component {
        id: byPeople

        Manual {
            view: screen.view
        }
    }
    LineSheet {
        id: sheet
        view: screen.view
    }
}
