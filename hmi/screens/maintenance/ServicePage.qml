import QtQuick
import QtQuick.Layouts
import Firstshift
import "../../kit"

// The processes of the station, and the computer that they run on.
RowLayout {
    id: page

    required property var view
    readonly property var shown: view.shown

    spacing: Theme.gap

    ListRows {
        objectName: "services"
        Layout.fillWidth: true
        Layout.fillHeight: true
        rows: page.view.services
        spacing: Theme.gap / 2
        delegate: StateRow {
            required property var modelData
            width: ListView.view.width
            name: modelData.name
            condition: modelData.state
            word: modelData.word
            told: modelData.told
            cause: modelData.cause
            remedy: modelData.remedy
        }
    }
    ColumnLayout {
        Layout.preferredWidth: 78 * Theme.mm
        Layout.maximumWidth: 78 * Theme.mm
        Layout.fillHeight: true
        spacing: 2 * Theme.mm

        Repeater {
            model: page.view.machine

            Field {
                required property var modelData
                Layout.fillWidth: true
                Layout.preferredWidth: 1
                caption: modelData.caption
                value: modelData.value
            }
        }
        Label {
            Layout.fillWidth: true
            visible: page.shown.wal
            text: qsTr("This SQLite has the WAL-reset bug: let no program but record write the database")
            size: Theme.small
        }
        Item {
            Layout.fillHeight: true
        }
        Label {
            Layout.fillWidth: true
            text: qsTr("A service starts again by itself. By hand: sudo systemctl restart firstshift-NAME")
            size: Theme.small
            muted: true
        }
    }
}
