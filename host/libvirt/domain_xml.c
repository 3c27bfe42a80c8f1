#include "host/libvirt/domain_xml.h"

#include <libxml/parser.h>
#include <libxml/xpath.h>
#include <stdbool.h>
#include <string.h>

xmlDocPtr domain_xml_parse(const char *xml)
{
    return xmlReadMemory(xml, (int)strlen(xml), "domain.xml", NULL,
                         XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
}

/* All nodes at a path. NULL: none. */
static xmlXPathObjectPtr find(xmlDocPtr doc, const char *path)
{
    xmlXPathContextPtr context = xmlXPathNewContext(doc);
    xmlXPathObjectPtr found =
        context == NULL ? NULL : xmlXPathEvalExpression((const xmlChar *)path, context);
    xmlXPathFreeContext(context);
    if (found != NULL && xmlXPathNodeSetIsEmpty(found->nodesetval)) {
        xmlXPathFreeObject(found);
        found = NULL;
    }
    return found;
}

xmlChar *domain_xml_value(xmlDocPtr doc, const char *path)
{
    xmlXPathObjectPtr found = find(doc, path);
    xmlChar *value = found == NULL ? NULL : xmlNodeGetContent(found->nodesetval->nodeTab[0]);
    xmlXPathFreeObject(found);
    return value;
}

xmlBufferPtr domain_xml_element(xmlDocPtr doc, const char *path)
{
    xmlXPathObjectPtr found = find(doc, path);
    xmlBufferPtr text = found == NULL ? NULL : xmlBufferCreate();
    if (text != NULL)
        xmlNodeDump(text, doc, found->nodesetval->nodeTab[0], 0, 0);
    xmlXPathFreeObject(found);
    return text;
}

json_t *domain_xml_aliases(const char *xml)
{
    json_t *list = json_array();
    xmlDocPtr doc = domain_xml_parse(xml);
    xmlXPathObjectPtr found =
        doc == NULL ? NULL : find(doc, "/domain/devices/*/alias[starts-with(@name, 'ua-')]/@name");
    for (int i = 0; found != NULL && i < found->nodesetval->nodeNr; i++) {
        xmlChar *name = xmlNodeGetContent(found->nodesetval->nodeTab[i]);
        json_array_append_new(list, json_string((const char *)name));
        xmlFree(name);
    }
    xmlXPathFreeObject(found);
    xmlFreeDoc(doc);
    return list;
}

static bool has_alias(xmlNodePtr device, const char *alias)
{
    for (xmlNodePtr node = device->children; node != NULL; node = node->next) {
        xmlChar *name = node->type == XML_ELEMENT_NODE && xmlStrEqual(node->name, BAD_CAST "alias")
                            ? xmlGetProp(node, BAD_CAST "name")
                            : NULL;
        bool is_it = name != NULL && xmlStrEqual(name, BAD_CAST alias);
        xmlFree(name);
        if (is_it)
            return true;
    }
    return false;
}

static void remove_device(xmlNodePtr devices, const char *alias)
{
    for (xmlNodePtr node = devices->children, next; node != NULL; node = next) {
        next = node->next;
        if (node->type == XML_ELEMENT_NODE && has_alias(node, alias)) {
            xmlUnlinkNode(node);
            xmlFreeNode(node);
        }
    }
}

static bool add_device(xmlNodePtr devices, const char *device)
{
    xmlDocPtr doc = domain_xml_parse(device);
    xmlNodePtr root = doc == NULL ? NULL : xmlDocGetRootElement(doc);
    xmlNodePtr copy = root == NULL ? NULL : xmlDocCopyNode(root, devices->doc, 1);
    bool well = copy != NULL && xmlAddChild(devices, copy) != NULL;
    xmlFreeDoc(doc);
    return well;
}

xmlChar *domain_xml_exchange(const char *xml, const char *alias, const char *device)
{
    xmlDocPtr doc = domain_xml_parse(xml);
    xmlXPathObjectPtr found = doc == NULL ? NULL : find(doc, "/domain/devices");
    xmlChar *text = NULL;
    int len;
    if (found != NULL) {
        xmlNodePtr devices = found->nodesetval->nodeTab[0];
        if (alias != NULL)
            remove_device(devices, alias);
        if (device == NULL || add_device(devices, device))
            xmlDocDumpMemory(doc, &text, &len);
    }
    xmlXPathFreeObject(found);
    xmlFreeDoc(doc);
    return text;
}
