import QtQuick
import Firstshift

// A list with keys to move it, since a glove flicks badly; `rows` is a list of values, each row gets it as `modelData`.
Item {
    id: list

    property var rows: []
    property alias delegate: view.delegate
    property alias spacing: view.spacing
    property alias view: view
    property string empty
    readonly property bool movable: view.contentHeight > view.height + 1
    readonly property real rowWidth: view.width

    ListView {
        id: view
        anchors { left: parent.left; top: parent.top; bottom: parent.bottom; right: list.movable ? keys.left : parent.right; rightMargin: list.movable ? Theme.gap : 0 }
        model: list.rows
        clip: true
        spacing: Theme.gap
        boundsBehavior: Flickable.StopAtBounds
    }
    Label {
        anchors.centerIn: parent
        width: Math.min(implicitWidth, parent.width - 2 * Theme.gap)
        visible: view.count === 0 && text !== ""
        text: list.empty
        muted: true
        horizontalAlignment: Text.AlignHCenter
    }
    Item {
        id: keys
        anchors { right: parent.right; top: parent.top; bottom: parent.bottom }
        width: Theme.target
        visible: list.movable

        PushButton {
            anchors.top: parent.top
            width: parent.width
            height: Math.min(Theme.primary, (parent.height - Theme.gap) / 2)
            icon: "arrow-up"
            name: qsTr("Up")
            enabled: !view.atYBeginning
            onActed: view.contentY = Math.max(view.originY, view.contentY - view.height * 0.8)
        }
        PushButton {
            anchors.bottom: parent.bottom
            width: parent.width
            height: Math.min(Theme.primary, (parent.height - Theme.gap) / 2)
            icon: "arrow-down"
            name: qsTr("Down")
            enabled: !view.atYEnd
            onActed: view.contentY = Math.min(view.originY + view.contentHeight - view.height, view.contentY + view.height * 0.8)
        }
    }
}
