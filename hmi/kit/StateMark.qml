import QtQuick
import Firstshift

// What was decided: shape, word and colour say the same, so that none of them is needed.
Rectangle {
    id: mark

    property string disposition
    property string detail
    property bool compact: false
    readonly property var look: Looks.of[disposition] === undefined ? Looks.of[""] : Looks.of[disposition]
    readonly property color ink: Theme[look.ink]

    readonly property real wish: compact ? Theme.body : 9 * Theme.mm
    readonly property real room: Math.max(1, width - shape.width - row.spacing - 4 * Theme.mm)

    implicitHeight: compact ? 8 * Theme.mm : Math.max(22 * Theme.mm, row.implicitHeight + 2 * Theme.mm)
    implicitWidth: shape.width + row.spacing + metrics.advanceWidth * wish / 100 + 6 * Theme.mm
    color: Theme[look.ground]
    radius: Theme.radius
    border.width: Math.max(1, Math.round((compact ? 0.3 : 0.6) * Theme.mm))
    border.color: look.ground === "pass" || look.ground === "unknown" || look.ground === "key" ? Theme.line : ink
    clip: true

    Accessible.role: Accessible.StaticText
    Accessible.name: word.text + (detail === "" ? "" : ", " + detail)

    TextMetrics {
        id: metrics
        text: word.text
        font.family: word.font.family
        font.bold: true
        font.pixelSize: 100
    }
    Hatch {
        anchors.fill: parent
        anchors.margins: parent.border.width
        visible: mark.look.hatched
    }
    Row {
        id: row
        anchors.centerIn: parent
        spacing: (mark.compact ? 1.5 : 5) * Theme.mm

        Icon {
            id: shape
            anchors.verticalCenter: parent.verticalCenter
            name: mark.look.icon
            colour: mark.ink
            size: (mark.compact ? 5 : 12) * Theme.mm
        }
        Column {
            anchors.verticalCenter: parent.verticalCenter

            Label {
                id: word
                text: mark.look.word
                strong: true
                size: Math.max(1, Math.min(mark.wish, Math.floor(100 * mark.room / Math.max(1, metrics.advanceWidth + 4))))
                wrapMode: Text.NoWrap
                color: mark.ink
                Accessible.ignored: true
            }
            Label {
                visible: text !== "" && !mark.compact
                width: Math.min(implicitWidth, mark.room)
                text: mark.detail
                color: mark.ink
                Accessible.ignored: true
            }
        }
    }
}
