import QtQuick
import Firstshift

// Acts on release inside. What the tap means (`bound`) is taken at press, so that a picture that changes under the finger
// changes nothing; a press during `guard` is no press.
Rectangle {
    id: button

    property string text
    property string caption
    property string icon
    property string name: text
    property bool primary: false
    property bool chosen: false
    property bool upright: false
    property bool guard: false
    property string reason
    property string tone
    property var bound: ""
    property real textSize: primary ? Theme.strong : Theme.body
    readonly property bool down: touch.pressed && touch.armed && touch.containsMouse
    readonly property bool isTarget: true
    readonly property color ink: !enabled ? Theme.onOff : tone === "alarm" ? Theme.onAlarm : tone === "warning" ? Theme.onWarning : Theme.text
    property real inset: 2 * Theme.mm

    signal acted(var bound)
    signal pressed(var bound)

    implicitHeight: Math.max(primary ? Theme.primary : Theme.target, content.implicitHeight + 2 * inset)
    implicitWidth: Math.max(primary ? Theme.primary : Theme.target, Math.ceil(content.wish) + 2 * inset)
    radius: Theme.radius
    color: !enabled ? Theme.off : down ? Theme.keyPressed : tone === "alarm" ? Theme.alarm : tone === "warning" ? Theme.warning : Theme.key
    border.width: chosen ? Math.max(3, Math.round(0.8 * Theme.mm)) : Math.max(1, Math.round(Theme.edge))
    border.color: chosen ? Theme.chosen : Theme.line

    Accessible.role: Accessible.Button
    Accessible.name: name
    Accessible.description: !enabled && reason !== "" ? reason : caption
    Accessible.checkable: chosen
    Accessible.checked: chosen
    Accessible.onPressAction: if (enabled) button.acted(button.bound)

    Grid {
        id: content
        readonly property real room: button.width - 2 * button.inset
        readonly property real wish: side + Math.max(words.visible ? words.implicitWidth : 0, note.visible ? note.implicitWidth : 0, icon.visible && button.upright ? icon.width : 0) - (words.visible || note.visible ? 0 : side - icon.width)
        readonly property real side: icon.visible && !button.upright ? icon.width + columnSpacing : 0

        anchors.centerIn: parent
        anchors.verticalCenterOffset: button.down ? Math.round(0.4 * Theme.mm) : 0
        columns: button.upright || !icon.visible || !column.visible ? 1 : 2
        columnSpacing: 2 * Theme.mm
        rowSpacing: 0.3 * Theme.mm
        horizontalItemAlignment: Grid.AlignHCenter
        verticalItemAlignment: Grid.AlignVCenter

        Icon {
            id: icon
            name: button.icon
            visible: button.icon !== ""
            colour: button.ink
            size: button.primary ? 9 * Theme.mm : (button.upright ? 7 : 6.5) * Theme.mm
        }
        Column {
            id: column
            visible: button.text !== "" || button.caption !== "" || note.visible

            Label {
                id: words
                anchors.horizontalCenter: parent.horizontalCenter
                width: Math.min(implicitWidth, Math.max(1, content.room - content.side))
                visible: button.text !== ""
                text: button.text
                size: button.textSize
                strong: true
                color: button.ink
                horizontalAlignment: Text.AlignHCenter
                Accessible.ignored: true
            }
            Label {
                id: note
                anchors.horizontalCenter: parent.horizontalCenter
                width: Math.min(implicitWidth, Math.max(1, content.room - content.side))
                visible: text !== ""
                text: !button.enabled && button.reason !== "" ? button.reason : button.caption
                size: Theme.small
                color: button.ink
                horizontalAlignment: Text.AlignHCenter
                Accessible.ignored: true
            }
        }
    }

    MouseArea {
        id: touch

        property var taken
        property bool armed: false

        anchors.fill: parent
        onPressed: {
            armed = !button.guard;
            taken = button.bound;
            if (armed)
                button.pressed(taken);
        }
        onCanceled: armed = false
        onReleased: if (!containsMouse) armed = false
        onClicked: mouse => {
            if (armed && contains(Qt.point(mouse.x, mouse.y)))
                button.acted(taken);
            armed = false;
        }
    }
}
