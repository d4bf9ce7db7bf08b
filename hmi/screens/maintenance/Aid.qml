import QtQuick
import QtQuick.Layouts
import Firstshift
import "../../kit"

// One aid: its name, what it says now, and whatever draws it.
Rectangle {
    id: aid

    property string title
    property string value
    property string detail
    property string icon
    property bool attention: false
    default property alias content: drawn.data

    Layout.fillWidth: true
    implicitHeight: column.implicitHeight + 4 * Theme.mm
    color: Theme.card
    radius: Theme.radius
    border.width: Math.max(1, Math.round(Theme.edge))
    border.color: Theme.line

    Column {
        id: column
        anchors { left: parent.left; right: parent.right; top: parent.top; margins: 2 * Theme.mm }
        spacing: 1 * Theme.mm

        Label {
            width: parent.width
            text: aid.detail === "" ? aid.title : aid.title + " \u00b7 " + aid.detail
            size: Theme.small
            muted: true
        }
        Column {
            id: drawn
            width: parent.width
            spacing: 1 * Theme.mm
        }
        Rectangle {
            width: parent.width
            height: said.implicitHeight + (aid.attention ? 1.5 * Theme.mm : 0)
            color: aid.attention ? Theme.warning : Theme.card

            Icon {
                id: shape
                anchors { left: parent.left; leftMargin: aid.attention ? 1 * Theme.mm : 0; verticalCenter: parent.verticalCenter }
                visible: aid.icon !== ""
                name: aid.icon
                colour: said.color
                size: 5 * Theme.mm
            }
            Label {
                id: said
                anchors { left: shape.visible ? shape.right : parent.left; leftMargin: shape.visible ? 1.5 * Theme.mm : 0; right: parent.right; verticalCenter: parent.verticalCenter }
                text: aid.value
                strong: true
                color: aid.attention ? Theme.onWarning : Theme.text
                wrapMode: Text.Wrap
            }
        }
    }
}
