import QtQuick
import Firstshift

// A sheet over the screen: what lies under it takes no touch until it is closed.
Item {
    id: sheet

    property bool open: false
    readonly property bool isSheet: true
    property string title
    property bool closable: true
    property real sheetWidth: Math.min(parent.width - 2 * Theme.gap, 208 * Theme.mm)
    readonly property real innerWidth: plate.width - 2 * Theme.gap
    default property alias content: body.data
    signal closed()

    anchors.fill: parent
    visible: open
    z: 100

    Rectangle {
        anchors.fill: parent
        color: Theme.veil

        MouseArea {
            anchors.fill: parent
            preventStealing: true
        }
    }
    Rectangle {
        id: plate
        anchors.centerIn: parent
        width: sheet.sheetWidth
        height: Math.min(sheet.height - 2 * Theme.gap, head.height + body.childrenRect.height + 3 * Theme.gap)
        color: Theme.ground
        radius: 2 * Theme.radius
        border.width: Math.max(2, Math.round(2 * Theme.edge))
        border.color: Theme.line
        Accessible.role: Accessible.Dialog
        Accessible.name: sheet.title

        Item {
            id: head
            x: Theme.gap
            y: Theme.gap
            width: parent.width - 2 * Theme.gap
            height: Math.max(heading.implicitHeight, close.visible ? close.height : 0)

            Label {
                id: heading
                anchors { left: parent.left; verticalCenter: parent.verticalCenter }
                width: parent.width - (close.visible ? close.width + Theme.gap : 0)
                text: sheet.title
                size: Theme.strong
                strong: true
                Accessible.role: Accessible.Heading
            }
            PushButton {
                id: close
                anchors { right: parent.right; verticalCenter: parent.verticalCenter }
                visible: sheet.closable
                icon: "cross"
                name: qsTr("Close")
                onActed: {
                    sheet.open = false;
                    sheet.closed();
                }
            }
        }
        Item {
            id: body
            anchors { left: parent.left; right: parent.right; top: head.bottom; bottom: parent.bottom; margins: Theme.gap }
        }
    }
}
