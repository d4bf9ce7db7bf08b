import QtQuick
import QtQuick.Layouts
import Firstshift

// One field of the header; a stale one is dimmed and says since when.
Item {
    id: field

    property string caption
    property string value
    property bool stale: false

    Layout.fillWidth: true
    Layout.fillHeight: true
    implicitHeight: column.implicitHeight

    Column {
        id: column
        anchors { left: parent.left; right: parent.right; verticalCenter: parent.verticalCenter }

        Label {
            width: parent.width
            text: field.caption
            horizontalAlignment: Text.AlignLeft
            size: Theme.small
            muted: true
            wrapMode: Text.WrapAnywhere
            maximumLineCount: 1
            fontSizeMode: Text.HorizontalFit
            minimumPixelSize: 2.6 * Theme.mm
        }
        Label {
            width: parent.width
            text: field.value
            horizontalAlignment: Text.AlignLeft
            strong: true
            muted: field.stale
            wrapMode: Text.NoWrap
            fontSizeMode: Text.HorizontalFit
            minimumPixelSize: 2.6 * Theme.mm
        }
    }
}
