import QtQuick
import QtQuick.Layouts
import Firstshift
import "../../kit"

// What is drawn over the picture, and how large it is.
Item {
    id: keys

    required property var view
    property bool zoomed: false

    ColumnLayout {
        anchors { left: parent.left; right: parent.right; top: parent.top }
        spacing: Theme.gap

        Repeater {
            model: [
                { layer: "heat", text: qsTr("Heat map") },
                { layer: "marks", text: qsTr("Outlines") },
                { layer: "text", text: qsTr("Names") }
            ]

            Toggle {
                required property var modelData
                Layout.fillWidth: true
                upright: true
                inset: 0.6 * Theme.mm
                textSize: Theme.small
                text: modelData.text
                icon: on ? "eye" : "eye-off"
                on: keys.view.picture[modelData.layer]
                onToggled: value => keys.view.draw(modelData.layer, value)
            }
        }
        PushButton {
            Layout.fillWidth: true
            upright: true
            inset: 0.6 * Theme.mm
            textSize: Theme.small
            text: qsTr("1 : 1")
            name: qsTr("Picture pixel for pixel")
            icon: keys.zoomed ? "fit" : "zoom"
            chosen: keys.zoomed
            onActed: keys.zoomed = !keys.zoomed
        }
        PushButton {
            Layout.fillWidth: true
            visible: keys.view.picture.held !== ""
            upright: true
            inset: 0.6 * Theme.mm
            textSize: Theme.small
            text: qsTr("Live")
            name: qsTr("Back to the part at the line")
            icon: "play"
            tone: "warning"
            onActed: keys.view.live()
        }
    }
}
