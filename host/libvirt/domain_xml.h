/* What the XML of a domain says, as far as it is asked for here. */
#ifndef NINJA_LIBVIRT_DOMAIN_XML_H
#define NINJA_LIBVIRT_DOMAIN_XML_H

#include <jansson.h>
#include <libxml/tree.h>

/** Parses it; free it with xmlFreeDoc(). NULL: it is none. */
xmlDocPtr domain_xml_parse(const char *xml);

/** The value at a path of XPath; free it with xmlFree(). NULL: there is none. */
xmlChar *domain_xml_value(xmlDocPtr doc, const char *path);

/** The element at a path, as text; free it with xmlBufferFree(). NULL: there is none. */
xmlBufferPtr domain_xml_element(xmlDocPtr doc, const char *path);

/** The aliases that users gave to devices, which begin with "ua-". A new array. */
json_t *domain_xml_aliases(const char *xml);

/**
 * A domain's XML with another device.
 *
 * @param alias   of the device that goes; NULL: none does
 * @param device  XML of the one that comes; NULL: none does
 * @return freed with xmlFree(); NULL: one of the two is no XML
 */
xmlChar *domain_xml_exchange(const char *xml, const char *alias, const char *device);

#endif
