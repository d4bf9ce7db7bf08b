import QtQuick
import QtQuick.Layouts
import Firstshift
import "../../kit"

// What `firstshift check` found, the worst first.
ColumnLayout {
    id: page

    required property var view
    readonly property var shown: view.shown

    spacing: Theme.gap

    RowLayout {
        Layout.fillWidth: true
        spacing: Theme.gap

        Label {
            Layout.fillWidth: true
            text: page.shown.running ? qsTr("The check runs: it takes some seconds and disturbs nothing") : page.shown.checked
            size: Theme.strong
            strong: true
            wrapMode: Text.Wrap
        }
        PushButton {
            icon: page.shown.running ? "clock" : "check-list"
            text: page.shown.running ? qsTr("Runs") : qsTr("Check again")
            name: qsTr("Check again")
            enabled: page.shown.may && !page.shown.running
            onActed: page.view.check()
        }
    }
    ListRows {
        objectName: "components"
        Layout.fillWidth: true
        Layout.fillHeight: true
        rows: page.view.components
        spacing: Theme.gap / 2
        empty: qsTr("Run the check: it says how every component is, why, and what to do")
        delegate: StateRow {
            required property var modelData
            width: ListView.view.width
            name: modelData.name
            condition: modelData.state
            word: modelData.word
            cause: modelData.cause
            remedy: modelData.remedy
        }
    }
}
