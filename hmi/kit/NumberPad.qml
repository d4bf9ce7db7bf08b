import QtQuick
import Firstshift

// Digits for serials, PINs and figures; always left to right, as digits are in every language.
Column {
    id: pad

    property string text
    property string placeholder
    property bool hidden: false
    property bool decimals: false
    property int maximum: 8
    property bool cancel: true
    property bool busy: false
    property real keyHeight: Theme.target
    readonly property bool takesScan: !hidden
    signal accepted(string text)
    signal cancelled()

    spacing: Theme.gap
    width: 3 * 22 * Theme.mm + 2 * Theme.gap
    LayoutMirroring.enabled: false
    LayoutMirroring.childrenInherit: true

    Entry {
        width: parent.width
        text: pad.text
        placeholder: pad.placeholder
        hidden: pad.hidden
    }
    Grid {
        columns: 3
        spacing: Theme.gap

        Repeater {
            model: ["1", "2", "3", "4", "5", "6", "7", "8", "9", pad.decimals ? "." : "", "0", "<"]

            PushButton {
                required property string modelData
                width: (pad.width - 2 * Theme.gap) / 3
                height: pad.keyHeight
                opacity: modelData === "" ? 0 : 1
                enabled: modelData !== "" && !pad.busy
                text: modelData === "<" ? "" : modelData
                icon: modelData === "<" ? "backspace" : ""
                name: modelData === "<" ? qsTr("Delete last") : modelData
                textSize: Theme.title
                bound: modelData
                onActed: key => pad.text = key === "<" ? pad.text.slice(0, -1) : (pad.text + key).slice(0, pad.maximum)
            }
        }
    }
    Row {
        spacing: Theme.gap

        PushButton {
            visible: pad.cancel
            width: (pad.width - Theme.gap) / 2
            text: qsTr("Cancel")
            onActed: {
                pad.text = "";
                pad.cancelled();
            }
        }
        PushButton {
            width: pad.cancel ? (pad.width - Theme.gap) / 2 : pad.width
            text: qsTr("Enter")
            icon: "tick"
            enabled: pad.text !== "" && !pad.busy
            onActed: pad.accepted(pad.text)
        }
    }
}
