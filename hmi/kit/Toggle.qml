import QtQuick
import Firstshift

// A key that is on or off; a tick says which, not the colour alone.
PushButton {
    id: toggle

    property bool on: false
    signal toggled(bool value)

    icon: on ? "tick" : ""
    chosen: on
    bound: !on
    Accessible.role: Accessible.CheckBox
    Accessible.checkable: true
    Accessible.checked: on
    onActed: value => toggle.toggled(value)
}
