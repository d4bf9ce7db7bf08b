import QtQuick
import Firstshift
import "../../kit"

// Reasons, one under the other.
Column {
    id: lines

    property var lines: []
    property int most: 4

    spacing: 1 * Theme.mm

    Repeater {
        model: lines.lines.slice(0, lines.most)

        Label {
            required property string modelData
            width: lines.width
            text: modelData
        }
    }
    Label {
        visible: lines.lines.length > lines.most
        width: lines.width
        text: qsTr("and %1 more").arg(Words.figure(lines.lines.length - lines.most, 0))
        muted: true
    }
}
