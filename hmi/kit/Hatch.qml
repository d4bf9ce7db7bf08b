import QtQuick
import Firstshift

// Slanted stripes, so that an unknown part is told without its colour.
Item {
    id: hatch
    readonly property real step: 4 * Theme.mm
    clip: true

    Repeater {
        model: hatch.visible ? Math.max(0, Math.ceil((hatch.width + hatch.height) / hatch.step)) : 0

        Rectangle {
            required property int index
            width: hatch.step * 0.4
            height: hatch.height * 1.6
            x: index * hatch.step - hatch.height * 0.3
            y: -hatch.height * 0.3
            rotation: 30
            antialiasing: true
            color: Theme.unknownHatch
        }
    }
}
