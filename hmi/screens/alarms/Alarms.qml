import QtQuick
import QtQuick.Layouts
import Firstshift
import "../../kit"
import "../../kit/charts"

Item {
    id: screen

    required property var view
    readonly property var shown: view.shown
    readonly property bool listed: shown.tab !== "journal"

    ColumnLayout {
        anchors { fill: parent; margins: Theme.gap }
        spacing: Theme.gap

        Tabs {
            Layout.fillWidth: true
            current: screen.shown.tab
            items: [
                { name: "active", text: qsTr("Standing alarms"), icon: "bell", count: screen.shown.active },
                { name: "away", text: qsTr("Put away"), icon: "clock", count: screen.shown.away },
                { name: "journal", text: qsTr("Journal"), icon: "check-list" }
            ]
            onChosen: name => screen.view.open_tab(name)
        }
        RowLayout {
            Layout.fillWidth: true
            Layout.fillHeight: true
            spacing: Theme.gap

            ColumnLayout {
                Layout.fillWidth: true
                Layout.fillHeight: true
                Layout.preferredWidth: 6
                spacing: Theme.gap

                ListRows {
                    Layout.fillWidth: true
                    Layout.fillHeight: true
                    rows: screen.view.rows
                    empty: screen.listed ? qsTr("No alarm") : qsTr("Nothing has happened in the last days")
                    delegate: screen.listed ? alarm : event
                }
                RowLayout {
                    Layout.fillWidth: true
                    Layout.preferredHeight: 14 * Theme.mm
                    Layout.maximumHeight: 14 * Theme.mm
                    visible: screen.listed
                    spacing: Theme.gap

                    HourBars {
                        Layout.preferredWidth: 40 * Theme.mm
                        Layout.fillHeight: true
                        counts: screen.shown.load.counts
                        limit: screen.shown.load.limit
                        name: screen.shown.load.text
                    }
                    Label {
                        horizontalAlignment: Text.AlignLeft
                        Layout.fillWidth: true
                        text: screen.shown.told !== "" ? screen.shown.told : screen.shown.held_back !== "" ? screen.shown.held_back : screen.shown.load.text
                        size: Theme.small
                        strong: screen.shown.load.over || screen.shown.told !== ""
                    }
                }
            }
            AlarmCard {
                Layout.fillWidth: true
                Layout.fillHeight: true
                Layout.preferredWidth: 5
                visible: screen.listed && screen.shown.details !== undefined && screen.shown.details !== null
                view: screen.view
                onShelving: shelf.open = true
            }
        }
    }
    Component {
        id: alarm
        AlarmRow { onChosen: key => screen.view.choose(key) }
    }
    Component {
        id: event
        JournalRow {}
    }
    Sheet {
        id: shelf
        title: qsTr("Shelve for how long?")
        sheetWidth: 120 * Theme.mm

        GridLayout {
            width: shelf.innerWidth
            columns: 2
            rowSpacing: Theme.gap
            columnSpacing: Theme.gap
            uniformCellWidths: true

            Repeater {
                model: screen.shown.details ? screen.shown.details.shelvings : []

                PushButton {
                    required property var modelData
                    Layout.fillWidth: true
                    primary: true
                    text: modelData.text
                    bound: screen.shown.chosen
                    onActed: key => {
                        shelf.open = false;
                        screen.view.shelve(modelData.minutes, key);
                    }
                }
            }
        }
    }
}
