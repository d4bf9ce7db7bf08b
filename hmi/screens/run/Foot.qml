import QtQuick
import Firstshift
import "../../kit"

// How the line stands and what keeps it from its work; a tap leads to all of it, and to the line's own keys.
PushButton {
    id: foot

    required property var view
    readonly property int more: view.notices.length - 1
    readonly property string first: view.notices.length > 0 ? view.notices[0].text + (more > 0 ? " (+" + Words.figure(more, 0) + ")" : "") : ""

    name: qsTr("Line")
    text: foot.view.line.mode
    caption: foot.view.line.message !== "" ? foot.view.line.message : foot.first
    icon: foot.first === "" ? "run" : "warning"
    tone: foot.view.line.purge || foot.view.line.reset ? "warning" : ""
    textSize: Theme.body
}
