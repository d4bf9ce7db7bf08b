import QtQuick
import QtQuick.Layouts
import Firstshift
import "../../kit"

// The last step before something is changed: what is done and why, and the PIN of who does it.
Item {
    id: confirm

    property string title
    property var lines: []
    property string fault
    property string wait
    property bool busy: false
    property string placeholder: qsTr("Your PIN")
    signal accepted(string text)
    signal cancelled()

    function clear() {
        pad.text = "";
    }

    RowLayout {
        anchors.fill: parent
        spacing: Theme.gap

        ColumnLayout {
            Layout.fillWidth: true
            Layout.fillHeight: true
            spacing: Theme.gap

            Label {
                Layout.fillWidth: true
                text: confirm.title
                size: Theme.strong
                strong: true
                Accessible.role: Accessible.Heading
            }
            ListRows {
                Layout.fillWidth: true
                Layout.fillHeight: true
                rows: confirm.lines
                spacing: Theme.gap / 2
                delegate: Label {
                    required property string modelData
                    width: ListView.view.width
                    text: modelData
                    wrapMode: Text.Wrap
                }
            }
            Banner {
                Layout.fillWidth: true
                visible: confirm.wait !== "" || confirm.fault !== ""
                kind: "warning"
                text: confirm.wait !== "" ? qsTr("No PIN is taken for %1").arg(confirm.wait) : confirm.fault
            }
            PushButton {
                text: qsTr("Change nothing")
                icon: "undo"
                onActed: confirm.cancelled()
            }
        }
        Item {
            Layout.preferredWidth: pad.width
            Layout.maximumWidth: pad.width
            Layout.fillHeight: true

            NumberPad {
                id: pad
                objectName: "confirmPad"
                hidden: true
                cancel: false
                busy: confirm.busy || confirm.wait !== ""
                placeholder: confirm.placeholder
                onAccepted: text => confirm.accepted(text)
            }
        }
    }
}
