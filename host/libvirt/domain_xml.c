#include "host/libvirt/domain_xml.h"

#include <libxml/parser.h>
#include <libxml/xpath.h>
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
