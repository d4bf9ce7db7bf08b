import QtQuick
import Firstshift

// Text that wraps and is never cut with dots: what does not fit is a fault that the size test names.
Text {
    property real size: Theme.body
    property bool muted: false
    property bool strong: false

    color: muted ? Theme.muted : Theme.text
    font.pixelSize: size
    font.bold: strong
    wrapMode: Text.WordWrap
    horizontalAlignment: Text.AlignLeft // turned round for Arabic, digits alone too
    textFormat: Text.PlainText
    lineHeight: 1.05
    Accessible.role: Accessible.StaticText
    Accessible.name: text
}
