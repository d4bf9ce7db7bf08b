import QtQuick
import Firstshift

// What a pad has typed so far; a hidden one shows a dot a letter.
Rectangle {
    id: entry

    property string text
    property string placeholder
    property bool hidden: false

    implicitHeight: Theme.target
    color: Theme.key
    radius: Theme.radius
    border.width: Math.max(2, Math.round(0.5 * Theme.mm))
    border.color: Theme.chosen
    Accessible.role: Accessible.EditableText
    Accessible.name: placeholder === "" ? qsTr("Entry") : placeholder
    Accessible.description: hidden ? "" : text
    clip: true

    Label {
        anchors { left: parent.left; right: parent.right; verticalCenter: parent.verticalCenter; margins: 3 * Theme.mm }
        text: entry.text === "" ? entry.placeholder : entry.hidden ? "\u2022".repeat(entry.text.length) : entry.text
        muted: entry.text === ""
        size: entry.text === "" ? Theme.body : Theme.strong
        strong: entry.text !== ""
        wrapMode: Text.WrapAnywhere
        maximumLineCount: 2
        fontSizeMode: Text.Fit
        minimumPixelSize: Theme.small
        height: Math.min(implicitHeight, entry.height - 1 * Theme.mm)
        Accessible.ignored: true
    }
}
