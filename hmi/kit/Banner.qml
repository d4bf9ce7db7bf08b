import QtQuick
import Firstshift

Rectangle {
    id: banner

    property string kind: "notice"
    property string text
    property string icon: kind === "notice" ? "info" : kind === "alarm" ? "alarm" : "warning"
    readonly property color ink: kind === "alarm" ? Theme.onAlarm : kind === "warning" ? Theme.onWarning : Theme.onNotice

    implicitHeight: visible ? Math.max(9 * Theme.mm, words.implicitHeight + 2 * Theme.mm) : 0
    color: kind === "alarm" ? Theme.alarm : kind === "warning" ? Theme.warning : Theme.notice
    border.width: Math.max(1, Math.round(Theme.edge))
    border.color: ink
    Accessible.role: Accessible.AlertMessage
    Accessible.name: text

    Row {
        anchors.centerIn: parent
        spacing: 2 * Theme.mm

        Icon {
            id: sign
            anchors.verticalCenter: parent.verticalCenter
            name: banner.icon
            colour: banner.ink
            size: 6 * Theme.mm
        }
        Label {
            id: words
            anchors.verticalCenter: parent.verticalCenter
            width: Math.min(implicitWidth, banner.width - sign.width - 6 * Theme.mm)
            text: banner.text
            strong: true
            color: banner.ink
            Accessible.ignored: true
        }
    }
}
