import QtQuick
import Firstshift
import "../../kit"

// How a component does: shape, word and colour say the same.
Rectangle {
    id: mark

    property string condition
    property string word
    readonly property var look: ({
            "ok": ["key", "text", "tick"],
            "starting": ["notice", "onNotice", "clock"],
            "degraded": ["warning", "onWarning", "triangle"],
            "failed": ["alarm", "onAlarm", "cross"],
            "silent": ["none", "onNone", "absent"]
        })[condition] || ["key", "text", "question"]

    implicitHeight: Math.max(8 * Theme.mm, text.implicitHeight + 2 * Theme.mm)
    implicitWidth: 36 * Theme.mm
    radius: Theme.radius
    color: Theme[look[0]]
    border.width: Math.max(1, Math.round(Theme.edge))
    border.color: look[0] === "key" ? Theme.line : Theme[look[1]]
    Accessible.role: Accessible.StaticText
    Accessible.name: word

    Icon {
        id: shape
        anchors { left: parent.left; leftMargin: 1.5 * Theme.mm; verticalCenter: parent.verticalCenter }
        name: mark.look[2]
        colour: Theme[mark.look[1]]
        size: 5 * Theme.mm
    }
    Label {
        id: text
        anchors { left: shape.right; leftMargin: 1.5 * Theme.mm; right: parent.right; rightMargin: 1 * Theme.mm; verticalCenter: parent.verticalCenter }
        text: mark.word
        size: Theme.small
        strong: true
        color: Theme[mark.look[1]]
        Accessible.ignored: true
    }
}
