import QtQuick
import QtQuick.Layouts
import Firstshift

// One row of keys; `items` holds { name, text, icon, count }.
RowLayout {
    id: tabs

    property var items: []
    readonly property bool isTabs: true
    property string current
    signal chosen(string name)

    spacing: Theme.gap
    uniformCellSizes: true

    Repeater {
        model: tabs.items

        PushButton {
            required property var modelData
            Layout.fillWidth: true
            Layout.preferredWidth: 1
            text: modelData.text + (modelData.count === undefined ? "" : "  " + modelData.count)
            caption: modelData.caption === undefined ? "" : modelData.caption
            icon: modelData.icon === undefined ? "" : modelData.icon
            textSize: tabs.items.length > 5 ? Theme.small : Theme.body
            enabled: modelData.enabled === undefined ? true : modelData.enabled
            reason: modelData.reason === undefined ? "" : modelData.reason
            chosen: modelData.name === tabs.current
            bound: modelData.name
            Accessible.role: Accessible.PageTab
            onActed: name => tabs.chosen(name)
        }
    }
}
