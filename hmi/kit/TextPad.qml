import QtQuick
import Firstshift

// Letters of the Latin languages, ten a row, so 196 mm wide at least; names of other scripts are typed in Latin letters or scanned.
Column {
    id: pad

    property string text
    property string placeholder
    property int maximum: 200
    property bool capital: false
    property bool digits: false
    readonly property var letters: Words.language === "de" ? ["qwertzuiop", "asdfghjklö", "yxcvbnmßäü"] : Words.language === "es" ? ["qwertyuiop", "asdfghjklñ", "zxcvbnm-."] : ["qwertyuiop", "asdfghjkl", "zxcvbnm-."]
    readonly property var others: ["1234567890", "/:;()%+=#*", Words.language === "es" ? ".,-_áéíóúü" : ".,-_!?'\""]
    readonly property bool takesScan: true
    signal accepted(string text)
    signal cancelled()

    width: parent ? parent.width : 200 * Theme.mm
    spacing: Theme.gap
    LayoutMirroring.enabled: false
    LayoutMirroring.childrenInherit: true

    Entry {
        width: parent.width
        text: pad.text
        placeholder: pad.placeholder
    }
    Repeater {
        model: pad.digits ? pad.others : pad.letters

        Row {
            id: line
            required property string modelData
            anchors.horizontalCenter: parent.horizontalCenter
            spacing: Theme.gap

            Repeater {
                model: line.modelData.split("")

                PushButton {
                    required property string modelData
                    width: Math.max(Theme.target, Math.min(18 * Theme.mm, (pad.width - (line.modelData.length - 1) * Theme.gap) / line.modelData.length))
                    text: pad.capital ? modelData.toUpperCase() : modelData
                    name: text
                    textSize: Theme.strong
                    bound: text
                    onActed: key => {
                        pad.text = (pad.text + key).slice(0, pad.maximum);
                        pad.capital = false;
                    }
                }
            }
        }
    }
    Row {
        anchors.horizontalCenter: parent.horizontalCenter
        spacing: Theme.gap
        readonly property real unit: (pad.width - 5 * Theme.gap) / 8

        PushButton {
            width: Math.max(Theme.target, parent.unit)
            icon: "shift"
            name: qsTr("Capitals")
            chosen: pad.capital
            onActed: pad.capital = !pad.capital
        }
        PushButton {
            width: Math.max(Theme.target, parent.unit)
            text: pad.digits ? "abc" : "123"
            onActed: pad.digits = !pad.digits
        }
        PushButton {
            width: Math.max(Theme.target, parent.unit * 2)
            name: qsTr("Space")
            text: "\u2423"
            onActed: pad.text = (pad.text + " ").slice(0, pad.maximum)
        }
        PushButton {
            width: Math.max(Theme.target, parent.unit)
            icon: "backspace"
            name: qsTr("Delete last")
            onActed: pad.text = pad.text.slice(0, -1)
        }
        PushButton {
            width: Math.max(Theme.target, parent.unit * 1.5)
            text: qsTr("Cancel")
            onActed: {
                pad.text = "";
                pad.cancelled();
            }
        }
        PushButton {
            width: Math.max(Theme.target, parent.unit * 1.5)
            text: qsTr("Enter")
            icon: "tick"
            enabled: pad.text !== ""
            onActed: pad.accepted(pad.text)
        }
    }
}
